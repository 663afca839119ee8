"""Many scenes, each an ordinary run: handed to GPUs one after another, watched, reported."""

"""The Train screen: losses, attention maps, previews of a run."""

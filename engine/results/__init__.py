"""What a run leaves behind: concepts, previews, pictures."""

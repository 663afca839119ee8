"""A person's pictures: a photo, its masks, the square cut from it, the checks. No torch."""

"""What a run has learned, written for other programs, and read back from them."""

"""The Scene screen: a photo, its masks, the plan of a run."""

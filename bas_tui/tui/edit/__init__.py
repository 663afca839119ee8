"""The Edit screen: learned things drawn into regions of a photo."""

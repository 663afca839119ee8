"""The Runs screen: the library of runs."""

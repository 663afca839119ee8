"""Scorers of generated pictures behind one Protocol; `registry` knows them by name."""

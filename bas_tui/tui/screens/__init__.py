"""One module per screen, each beside its style sheet."""

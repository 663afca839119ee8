"""Front ends of bas: the command line and the terminal application."""

"""Run folders and what is said about them: events, commands, control socket. No torch."""

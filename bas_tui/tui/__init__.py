"""The terminal application: a viewer of run folders and hosts; it never loads torch."""

"""Many jobs, each a process of its own, on this machine's GPUs or on a cluster. No torch here."""

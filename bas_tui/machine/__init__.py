"""What this computer has: said without torch."""

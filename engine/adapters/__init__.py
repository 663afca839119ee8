"""Which weights phase 2 moves, and what becomes of them: full or low-rank."""

"""Which base model is meant and what its files hold, told without loading any weights."""

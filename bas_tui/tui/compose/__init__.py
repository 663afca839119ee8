"""The Compose screen: prompts and the pictures drawn from them."""

"""The method: scenes, losses, training, generation. No front end in here."""

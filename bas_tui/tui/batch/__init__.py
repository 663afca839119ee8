"""The Batch screen: many scenes that are learned one after another or on many GPUs."""

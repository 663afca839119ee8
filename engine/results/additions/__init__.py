"""What a run is drawn with besides its own concepts: LoRA, embeddings, other runs."""

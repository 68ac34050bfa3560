"""A run: what training, evaluation and inference share about a trained or training network."""

"""State, optimiser, pure steps, the one pmap, checkpoints, evaluation and the loop that joins them."""

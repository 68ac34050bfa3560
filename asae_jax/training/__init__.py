"""`train`: optimiser, initial weights, the loop, its progress and metrics, interruption."""

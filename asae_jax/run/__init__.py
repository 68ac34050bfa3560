"""A run: its folder, settings, network, weights and data; checkpoints, the pure steps, devices."""

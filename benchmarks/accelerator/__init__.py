"""All figures of one GPU or TPU in one call: see `__main__`."""

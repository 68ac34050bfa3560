"""Trained models that travel with the package, and the list of the images that they were trained on."""

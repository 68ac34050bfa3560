"""Backbones: networks without the layer. They are registered by name in `asae_jax/models/__init__.py`."""

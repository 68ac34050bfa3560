"""ASAE-Net in JAX: fine-grained classification of bone-marrow and blood cells.

For research, not a diagnosis.
"""

__version__ = "0.2.0"

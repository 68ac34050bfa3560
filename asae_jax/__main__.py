"""`python -m asae_jax`: the same as `asae` and `python main.py`."""

import sys

from asae_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())

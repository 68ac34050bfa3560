"""`python -m asae_jax`: the command line, wherever the package is installed."""

import sys

from asae_jax.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

"""ASAE-Net: train, evaluate, audit. For research, not a diagnosis.

python main.py [COMMAND] --config=FILE [--workdir=DIR] [--config.field=value ...]
"""

import sys

from asae_jax.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

"""ASAE-Net: train, evaluate, predict, explain, export, audit. For research, not a diagnosis.

python main.py [COMMAND] --config=FILE [--workdir=DIR] [--config.field=value ...]
"""

import sys

from asae_jax.__main__ import main

if __name__ == "__main__":
    sys.exit(main())

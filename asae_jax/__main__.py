"""`python -m asae_jax`: the same as `asae` and `python main.py`."""

import sys

from asae_jax.huge_pages import start_again_with_huge_pages


def main() -> int:
    """The command line of this process; returns the exit status."""
    start_again_with_huge_pages()
    from asae_jax import cli  # not before, as the process may be replaced

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

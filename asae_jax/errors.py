"""The one exception for mistakes a user can make and mend, and what a misspelt name was meant to be."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do. `main.py` prints it on
    standard error and ends with exit status 2; no traceback is shown.
    """


def did_you_mean(name: str, names: Iterable[str], prefix: str = "") -> str:
    """ " Did you mean X or Y?" for the names nearest to a misspelt one; empty where none is near."""
    near = difflib.get_close_matches(name, list(names), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(prefix + match for match in near)}?" if near else ""

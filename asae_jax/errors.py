"""The one exception for mistakes a user can make and mend."""


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do. `main.py` prints it on
    standard error and ends with exit status 2; no traceback is shown.
    """

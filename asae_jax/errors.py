"""The one exception for mistakes a user can make and mend, and what its remedies name: names, commands."""

import difflib
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

_LONGEST = 4000


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do. `cli.main` prints it on
    standard error and ends with exit status 2; no traceback is shown. Characters of names that would steer
    a terminal or end the line are escaped, and the middle of an endless one is left out.
    """

    def __init__(self, message: str):
        line = one_line(message)
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
        super().__init__(line)


def one_line(text: str) -> str:
    """`text` with escapes in place of control characters, line ends and marks that turn the writing round.

    Names of files and classes may hold any of them, and come from others. Bytes of names that are not UTF-8
    stay as they are.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def did_you_mean(name: str, names: Iterable[str], prefix: str = "") -> str:
    """ " Did you mean X or Y?" for the names nearest to a misspelt one, whatever their case; or empty."""
    folded = {one.casefold(): one for one in names}
    near = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=2, cutoff=0.6)]
    return f" Did you mean {' or '.join(prefix + match for match in near)}?" if near else ""


def quoted(word: str | Path) -> str:
    """A word of a command line, such as a path, as it is to be typed: in quotes where it needs them."""
    text = str(word)
    plain = r"[\w./\\:~+=@%,-]+" if os.name == "nt" else r"[\w./:~+=@%,-]+"
    if re.fullmatch(plain, text):
        return text
    if os.name == "nt" or not re.search(r'["$`\\!]', text):
        return f'"{text}"'  # which the shells of Windows take too
    return shlex.quote(text)

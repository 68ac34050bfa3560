"""Options of the command lines here."""

import argparse
from typing import Any


class Once(argparse.Action):
    """Stores a value, and refuses another one: of two folders one would be left out in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """As of any action of argparse."""
        before = getattr(namespace, self.dest, None)
        if before not in (self.default, values):
            parser.error(f"{option_string} is given twice ({before} and {values}): give it once")
        setattr(namespace, self.dest, values)

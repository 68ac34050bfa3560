"""A terminal that remembers what was written to it."""

import io


class Screen(io.StringIO):
    """Stands for `sys.stderr`, once the test has begun: pytest sets its own before."""

    def isatty(self):
        return True

    def last(self):
        """What stands in the line of a bar."""
        return self.getvalue().rstrip("\n").rpartition("\r")[2]

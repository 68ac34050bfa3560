"""One message for every option that is a name."""

from collections.abc import Iterable

from asae_jax.errors import UserError


def check_choice(option: str, value: object, choices: Iterable[str]) -> None:
    """Raise `UserError` with the possible names unless `value` is one of `choices`."""
    names = list(choices)
    if value not in names:
        raise UserError(f"{option} is {value!r}: choose one of {', '.join(names)}")

"""Names that look alike are equal: one Unicode form for what is typed and for what a Mac calls folders."""

import unicodedata


def composed(name: str) -> str:
    """A name in the Unicode form in which accents are part of their letters (NFC)."""
    return unicodedata.normalize("NFC", name)

"""Text that somebody else wrote, made fit for a terminal."""

from __future__ import annotations


def shown(text: str, most: int = 400) -> str:
    """Returns the text as one line of at most `most` printable characters.

    Control characters, which terminals obey, become question marks.
    """
    line = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return line if len(line) <= most else f"{line[: most - 2]}.."

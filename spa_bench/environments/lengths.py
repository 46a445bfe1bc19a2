"""How long the shortest solution of a drawn board shall be: two parameters of several worlds."""

from __future__ import annotations


def check_lengths(generator: str, least: int | None, greatest: int | None) -> None:
    """Refuses lengths that no board can have, and lengths for boards that are as published.

    Raises:
        ValueError: naming the parameter, `min_solution` or `max_solution`.
    """
    for name, length in (("min_solution", least), ("max_solution", greatest)):
        if length is not None and generator != "spa":
            raise ValueError(f"{name} is a setting of generator: spa")
        if length is not None and length < 1:
            raise ValueError(f"{name} must be at least 1")
    if least is not None and greatest is not None and least > greatest:
        raise ValueError("min_solution must not exceed max_solution")


def length_suffix(least: int | None, greatest: int | None) -> str:
    """Returns what the lengths add to the name of a variant, such as `-min3-max10`."""
    low = "" if least is None else f"-min{least}"
    return low if greatest is None else f"{low}-max{greatest}"

"""Where actions lead: the usual way, mirrored or rotated."""

from __future__ import annotations

from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["Up", "Down", "Left", "Right"]

Controls: TypeAlias = Literal["plain", "mirrored", "rotated"]
"""What the four actions do.

`plain`: each moves the way it is called. `mirrored`: as in a mirror that hangs beside the board,
Left moves right and Right moves left; Up and Down are as usual. `rotated`: by a quarter turn
clockwise, Up moves right, Right moves down, Down moves left and Left moves up.
"""

_MOVED: dict[Controls, dict[Direction, Direction]] = {
    "plain": {},
    "mirrored": {"Left": "Right", "Right": "Left"},
    "rotated": {"Up": "Right", "Right": "Down", "Down": "Left", "Left": "Up"},
}


def direction_of(action: Direction, controls: Controls) -> Direction:
    """Returns the direction in which an action moves."""
    return _MOVED[controls].get(action, action)

"""Our own generator of Sokoban boards: solvable under the board's own rule, length selectable.

A room is grown from rectangles, targets are drawn, and the boxes start on them. Then moves are
taken back, so every board that comes out can be solved. Where a room has few enough states all of
them are searched, breadth first from all solved ones: the length of the shortest solution is exact.
Where there are more, the moves are taken back at random; the shortest solution then has at most as
many actions as were taken back, and at least `least_actions`.

The boards are a promise: what this file makes of a seed never changes (tests hold some of them). A
better generator gets another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

from spa_bench.environments.keyed import Keyed

BoxesMove: TypeAlias = Literal["pushed", "pulled"]

_SEARCHED = 50_000
"""Up to so many states a room is searched whole."""

_WORK = 300_000
"""States and cells looked at for one board, in all rooms, before it is given up: some seconds."""

_ROOMS = 1_000
"""Rooms tried for one board."""


class Place(NamedTuple):
    """A state of one room: cells are numbered row by row; bit i of `boxes` is a box on cell i."""

    player: int
    boxes: int


@dataclass(frozen=True)
class Room:
    """A room and the rule by which boxes move in it.

    Attributes:
        cols: of the whole board, border included.
        floor, targets: sets of cells, as bits; the targets are floor.
        boxes_move: as in `Sokoban`.
    """

    cols: int
    floor: int
    targets: int
    boxes_move: BoxesMove

    @cached_property
    def _steps(self) -> tuple[int, ...]:
        return (-self.cols, self.cols, -1, 1)

    def before(self, place: Place) -> Iterator[tuple[Place, bool]]:
        """Yields each place that one action turns into this one, and whether it moved a box."""
        player, boxes = place
        for step in self._steps:
            back = player - step
            if not self.floor >> back & 1:
                continue
            if self.boxes_move == "pushed":
                if boxes >> back & 1:
                    continue
                yield Place(back, boxes), False
                if boxes >> (ahead := player + step) & 1:
                    yield Place(back, boxes ^ 1 << ahead ^ 1 << player), True
                continue
            # whoever walks away from a box pulls it: what lay behind him has followed him
            behind = back - step
            if not boxes >> back & 1:
                if not boxes >> behind & 1:
                    yield Place(back, boxes), False
            elif self.floor >> behind & 1 and not boxes >> behind & 1:
                yield Place(back, boxes ^ 1 << back ^ 1 << behind), True

    def distances(self, furthest: int | None) -> list[list[Place]]:
        """Returns all places that can be solved, by the length of their shortest solution.

        Args:
            furthest: the greatest length that is wanted; None for all.

        Returns:
            Places at index n are solved in n actions and no fewer.
        """
        layer = [Place(cell, self.targets) for cell in _cells(self.floor & ~self.targets)]
        seen = set(layer)
        layers: list[list[Place]] = []
        while layer and (furthest is None or len(layers) <= furthest):
            layers.append(layer)
            further: list[Place] = []
            for place in layer:
                for earlier, _ in self.before(place):
                    if earlier not in seen:
                        seen.add(earlier)
                        further.append(earlier)
            layer = further
        return layers

    def least_actions(self, place: Place) -> int:
        """Returns a number of actions that no solution of `place` can be shorter than.

        An action moves one box by one cell at most, so the boxes take at least the least sum of
        distances of a pairing of boxes with targets, each box alone in the room. And before the
        first of these actions the player must walk until he stands beside a box.
        """
        boxes = list(_cells(place.boxes))
        if place.boxes == self.targets:
            return 0
        total = self._least_pairing([self._far[box] for box in boxes])
        row, col = divmod(place.player, self.cols)
        walks = (abs(row - box // self.cols) + abs(col - box % self.cols) - 1 for box in boxes)
        return total + min(walks)

    def _least_pairing(self, costs: Sequence[Sequence[int]]) -> int:
        """Returns the least sum of one cost a row, no two of one column."""
        best = {0: 0}  # columns taken, as bits -> the least sum of the rows so far
        for row in costs:
            better: dict[int, int] = {}
            for taken, total in best.items():
                for column, cost in enumerate(row):
                    if not taken >> column & 1:
                        key = taken | 1 << column
                        better[key] = min(better.get(key, total + cost), total + cost)
            best = better
        return min(best.values())

    @cached_property
    def _far(self) -> dict[int, list[int]]:
        """For each cell, how many moves a box there is from each target, were it alone.

        Where it is not to be brought to a target at all, more than any board has cells.
        """
        far = {cell: list[int]() for cell in _cells(self.floor)}
        for target in _cells(self.targets):
            found = {target: 0}
            queue = [target]
            for cell in queue:  # grows while it is walked: breadth first
                for step in self._steps:
                    box = cell - step
                    if box in found or not self.floor >> box & 1:
                        continue
                    # the player stands behind a box he pushes, and walks ahead of one he pulls
                    player = box - step if self.boxes_move == "pushed" else cell + step
                    if self.floor >> player & 1:
                        found[box] = found[cell] + 1
                        queue.append(box)
            for cell, distances in far.items():
                distances.append(found.get(cell, 10_000))
        return far


def generate(
    seed: int,
    rows: int,
    cols: int,
    boxes: int,
    boxes_move: BoxesMove,
    min_solution: int | None,
    max_solution: int | None,
) -> list[str] | None:
    """Returns the board as rows of `#_OXP`, or None if none was found.

    No box starts on a target.

    Args:
        seed: of the board.
        min_solution: the shortest solution has at least so many actions.
        max_solution: and at most so many.
    """
    chance = Keyed(
        "sokoban",
        {
            "generator": "spa",
            "rows": rows,
            "cols": cols,
            "boxes": boxes,
            "boxes_move": boxes_move,
            "min_solution": min_solution,
            "max_solution": max_solution,
        },
        seed,
    )
    least = min_solution or 1
    inside = (rows - 2) * (cols - 2)
    if inside < 2 * boxes + 1:
        return None
    work = 0
    for _ in range(_ROOMS):
        floor = _grow(chance, rows, cols)
        work += inside
        cells = list(_cells(floor))
        if len(cells) < 2 * boxes + 1:
            continue
        chance.shuffle(cells)
        room = Room(cols, floor, sum(1 << cell for cell in cells[:boxes]), boxes_move)
        if _states(len(cells), boxes) <= _SEARCHED:
            layers = room.distances(max_solution)
            work += sum(map(len, layers))
            start = _drawn(chance, room, layers, least)
        else:
            start, looked_at = _taken_back(chance, room, cells[boxes], least, max_solution)
            work += looked_at
        if start is not None:
            return _draw(room, rows, start)
        if work > _WORK:
            break
    return None


def _grow(chance: Keyed, rows: int, cols: int) -> int:
    """Returns floor grown from overlapping rectangles until it fills a drawn share of the inside.

    Each further rectangle overlaps what is there, so all of it hangs together.
    """
    inside = (rows - 2) * (cols - 2)
    wanted = inside * (50 + chance.below(31)) // 100
    floor = 0
    for _ in range(4 * inside):
        height, width = 1 + chance.below(min(3, rows - 2)), 1 + chance.below(min(3, cols - 2))
        top, left = 1 + chance.below(rows - 1 - height), 1 + chance.below(cols - 1 - width)
        row = ((1 << width) - 1) << left
        rectangle = sum(row << cols * r for r in range(top, top + height))
        if floor == 0 or rectangle & floor:
            floor |= rectangle
            if floor.bit_count() >= wanted:
                break
    return floor


def _drawn(
    chance: Keyed, room: Room, layers: Sequence[Sequence[Place]], least: int
) -> Place | None:
    """Returns a start from a room searched whole: first its length is drawn, then the place.

    So short and long solutions are equally many, as far as the room has both.
    """
    starts = [
        [place for place in layer if not place.boxes & room.targets] for layer in layers[least:]
    ]
    lengths = [layer for layer in starts if layer]
    return chance.choice(chance.choice(lengths)) if lengths else None


def _taken_back(
    chance: Keyed, room: Room, player: int, least: int, greatest: int | None
) -> tuple[Place | None, int]:
    """Takes moves back at random, from a solved room until a start is good and far enough.

    Each time the player is walked back to a box that he can have moved, drawn twice; of the two
    the one that leads further from a solution is kept, lest boxes go to and fro.

    Returns:
        The start, if one was found, and how many places were looked at.
    """
    boxes = room.targets.bit_count()
    place, actions, looked_at = Place(player, room.targets), 0, 0
    good: Place | None = None
    wanted = boxes * (3 + chance.below(6))
    for moved in range(1, 20 * boxes + 1):
        options = list(_last_moves(room, place))
        looked_at += len(options) + room.floor.bit_count()
        if not options:
            break
        pair = chance.choice(options), chance.choice(options)
        place, walked = max(pair, key=lambda option: room.least_actions(option[0]))
        actions += walked
        if greatest is not None and actions > greatest:
            break
        if not place.boxes & room.targets and room.least_actions(place) >= least:
            good = place
            if moved >= wanted:
                break
    return good, looked_at


def _last_moves(room: Room, place: Place) -> Iterator[tuple[Place, int]]:
    """Yields places from which a box is moved and the player then walks to `place`.

    With how many actions that takes.
    """
    walked = {place: 0}
    queue = [place]
    for here in queue:  # grows while it is walked: breadth first
        for earlier, moved in room.before(here):
            if moved:
                yield earlier, walked[here] + 1
            elif earlier not in walked:
                walked[earlier] = walked[here] + 1
                queue.append(earlier)


def _draw(room: Room, rows: int, start: Place) -> list[str]:
    cells = ["_" if room.floor >> cell & 1 else "#" for cell in range(rows * room.cols)]
    for target in _cells(room.targets):
        cells[target] = "O"
    for box in _cells(start.boxes):
        cells[box] = "X"
    cells[start.player] = "S" if room.targets >> start.player & 1 else "P"
    return ["".join(cells[row * room.cols : (row + 1) * room.cols]) for row in range(rows)]


def _states(cells: int, boxes: int) -> int:
    """Returns how many ways there are to place player and boxes."""
    ways = cells
    for taken in range(boxes):
        ways = ways * (cells - 1 - taken) // (taken + 1)
    return ways


def _cells(bits: int) -> Iterator[int]:
    """Yields the cells of a set, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low

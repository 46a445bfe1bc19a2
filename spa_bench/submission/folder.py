"""The folder of a submission, read as something hostile.

Only the files named here, all of them plain ones, none larger than its limit, each with the
checksum it claims; lines of the log only up to a length. Whatever else comes is refused in one
line, within memory that does not grow with what is in the folder.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast

from pydantic import BaseModel, FailFast, StringConstraints, TypeAdapter, ValidationError

from spa_bench.errors import InputError, first_complaint
from spa_bench.paths import typed
from spa_bench.results.results import Results
from spa_bench.runner.record import Episode, Named, episode_adapter
from spa_bench.submission.schema import Submission, Verification
from spa_bench.submission.shown import shown
from spa_bench.submission.training import Step
from spa_bench.submission.training import read as read_training

T = TypeVar("T", bound=BaseModel)

CHECKSUMS: Final = "checksums.txt"
VERIFICATION: Final = "verification.json"
EPISODES: Final = "episodes.jsonl.gz"
TRAINING_BOARDS: Final = "training_boards.json.gz"
TRAINING_LOG: Final = "training.jsonl"

MB = 1_000_000

LIMITS: Mapping[str, int] = {
    "submission.json": MB,
    "results.json": 2 * MB,
    EPISODES: 200 * MB,
    TRAINING_BOARDS: 20 * MB,
    TRAINING_LOG: 5 * MB,
    "README.md": MB,
}
"""What a submission may hold, and how many bytes of each."""

REQUIRED = ("submission.json", "results.json", EPISODES, "README.md")

LONGEST_LINE = 4 * MB
"""Bytes of one episode: five turns of 800 kB."""

MOST_BYTES = 20_000 * MB
"""Of any log, uncompressed."""

_MOST_TRAINING_BYTES = 40 * MB
"""Of the list of training boards, uncompressed: two million of them."""

_CHECKSUM_LINE = re.compile(r"([0-9a-f]{64})  (\S{1,80})")

_ShortKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
TRAINING = TypeAdapter(Named[Annotated[frozenset[_ShortKey], FailFast()]])
"""Which boards a model was trained on, by world."""


def folders_in(parent: Path) -> list[Path]:
    """Returns the folders in a folder of submissions, sorted.

    Raises:
        InputError: if there is no such folder.
    """
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir())
    except OSError as error:
        raise InputError(f"{parent}: {error.strerror}") from None


class SubmissionFolder:
    """One submission on the disk. Every method raises InputError for what cannot be believed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The name of the folder itself."""
        return Path(os.path.realpath(self.path)).name

    def check(self) -> None:
        """Checks that the right files are there, and that their checksums are as they claim.

        Raises:
            InputError: for a file that is missing, foreign, no plain file, too large or altered.
        """
        if self.path.is_symlink():
            raise InputError(f"{self.path}: a link; a submission is a folder of plain files")
        try:
            entries = sorted(os.listdir(self.path))
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from None
        if "run.json" in entries:
            raise InputError(
                f"{self.path}: a run and no submission yet; pack it first:"
                f" `spa-bench leaderboard pack {typed(self.path)}`"
            )
        inner = (os.path.isfile(self.path / name / "submission.json") for name in entries)
        if "submission.json" not in entries and any(inner):
            raise InputError(
                f"{self.path}: a folder of submissions; name them: {typed(self.path)}/*"
            )
        for name in entries:
            if name not in (*LIMITS, CHECKSUMS, VERIFICATION):
                raise InputError(f"{self.path}: {name!r} does not belong in a submission")
        for name in (*REQUIRED, CHECKSUMS):
            if name not in entries:
                raise InputError(f"{self.path}: {name} is missing")
        if VERIFICATION in entries:
            self._open(VERIFICATION, MB).close()
        stated = self.checksums()
        there = [name for name in LIMITS if name in entries]
        if missing := [name for name in there if name not in stated]:
            raise InputError(f"{self.path}/{CHECKSUMS}: says nothing about {missing[0]}")
        if absent := [name for name in stated if name not in there]:
            raise InputError(f"{self.path}: {absent[0]} is missing, but {CHECKSUMS} names it")
        for name in there:
            with self._open(name) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != stated[name]:
                raise InputError(
                    f"{self.path}/{name}: its SHA-256 is {digest[:12]}..,"
                    f" {CHECKSUMS} says {stated[name][:12]}..; the file was altered"
                )

    def checksums(self) -> dict[str, str]:
        """Returns the stated SHA-256 of each file, by name."""
        stated: dict[str, str] = {}
        text = self._read(CHECKSUMS, MB).decode("ascii", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            where = f"{self.path}/{CHECKSUMS}:{number}"
            match = _CHECKSUM_LINE.fullmatch(line)
            if match is None:
                raise InputError(f"{where}: not a SHA-256, two spaces and a name")
            if match[2] not in LIMITS:
                raise InputError(f"{where}: {match[2]!r} is no file of a submission")
            if match[2] in stated:
                raise InputError(f"{where}: {match[2]} is named twice")
            stated[match[2]] = match[1]
        return stated

    def digest(self) -> str:
        """Returns the SHA-256 of the checksums, which stands for the whole submission."""
        return hashlib.sha256(self._read(CHECKSUMS, MB)).hexdigest()

    def submission(self) -> Submission:
        """Returns what `submission.json` says."""
        return self._json("submission.json", Submission)

    def results(self) -> Results:
        """Returns the results that the submission states."""
        return self._json("results.json", Results)

    def verification(self) -> Verification | None:
        """Returns what the verifier found, if that was found of exactly these files; else None."""
        if not os.path.lexists(self.path / VERIFICATION):
            return None
        found = self._json(VERIFICATION, Verification, MB)
        return found if found.submission == self.digest() else None

    def training_boards(self) -> dict[str, frozenset[str]]:
        """Returns the short keys of the training boards of each world; {} if none are listed."""
        if not os.path.lexists(self.path / TRAINING_BOARDS):
            return {}
        with self._open(TRAINING_BOARDS) as file:
            content = _bounded(f"{self.path}/{TRAINING_BOARDS}", file, _MOST_TRAINING_BYTES)
        try:
            return TRAINING.validate_json(content)
        except ValidationError as error:
            raise InputError(f"{self.path}/{TRAINING_BOARDS}: {briefly(error)}") from None

    def training_log(self) -> list[Step]:
        """Returns how the training went, as the submitter's log has it; [] if there is none."""
        if not os.path.lexists(self.path / TRAINING_LOG):
            return []
        lines = self._read(TRAINING_LOG, LIMITS[TRAINING_LOG]).splitlines()
        return read_training(lines, f"{self.path}/{TRAINING_LOG}")

    def episodes(self, most_bytes: int = MOST_BYTES) -> Iterator[tuple[int, Episode]]:
        """Yields the episodes with the numbers of their lines.

        Args:
            most_bytes: the log may hold, uncompressed.

        Raises:
            InputError: for the first line that is no episode, and for what is no log at all.
        """
        validate = episode_adapter().validate_json
        for number, line in self._lines(most_bytes):
            try:
                yield number, validate(line)
            except ValidationError as error:
                raise InputError(f"{self.path}/{EPISODES}:{number}: {briefly(error)}") from None

    def _lines(self, most_bytes: int) -> Iterator[tuple[int, bytes]]:
        where = f"{self.path}/{EPISODES}"
        left = most_bytes
        with self._open(EPISODES) as file:
            number = 0
            for number, line in enumerate(_gunzipped_lines(where, file), 1):
                left -= len(line)
                if left < 0:
                    raise InputError(
                        f"{where}:{number}: more than {most_bytes / MB:,.0f} MB uncompressed,"
                        " which so many episodes cannot be"
                    )
                yield number, line

    def _json(self, name: str, schema: type[T], limit: int | None = None) -> T:
        try:
            return schema.model_validate_json(self._read(name, limit or LIMITS[name]))
        except ValidationError as error:
            raise InputError(f"{self.path}/{name}: {briefly(error)}") from None

    def _read(self, name: str, limit: int) -> bytes:
        with self._open(name, limit) as file:
            return file.read(limit)

    def _open(self, name: str, limit: int | None = None) -> BufferedReader:
        """Opens a plain file of at most its limit; follows no link, waits for no pipe."""
        path, most = self.path / name, limit or LIMITS[name]
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            why = "a link" if path.is_symlink() else error.strerror
            raise InputError(f"{path}: {why}; a submission is made of plain files") from None
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            os.close(handle)
            plain = stat.S_ISREG(status.st_mode)
            why = f"larger than {most / MB:,.0f} MB" if plain else "not a plain file"
            raise InputError(f"{path}: {why}")
        return os.fdopen(handle, "rb")


def _gunzipped_lines(where: str, file: BufferedReader) -> Iterator[bytes]:
    with gzip.open(file) as unpacked:
        number = 0
        while True:
            number += 1
            try:
                line = cast(Any, unpacked).readline(LONGEST_LINE + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"{where}:{number}: not gzip: {error}") from None
            if not line:
                return
            if len(line) > LONGEST_LINE:
                raise InputError(f"{where}:{number}: a line of more than {LONGEST_LINE / MB:g} MB")
            if not line.endswith(b"\n"):
                raise InputError(f"{where}:{number}: the last line is cut off")
            yield line


def _bounded(where: str, file: BufferedReader, most: int) -> bytes:
    """Returns what a gzip file holds, if that is not more than `most` bytes."""
    try:
        with gzip.open(file) as unpacked:
            content = cast(bytes, cast(Any, unpacked).read(most + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{where}: not gzip: {error}") from None
    if len(content) > most:
        raise InputError(f"{where}: more than {most / MB:,.0f} MB uncompressed")
    return content


def briefly(error: ValidationError) -> str:
    """Returns the first complaint as one line that quotes nothing long."""
    return shown(first_complaint(error), 420)

"""The run folder: `run.json` says what is played, `episodes.jsonl` what happened.

One writer, one line an episode, written whole. A process killed at any moment loses at most the
line it was writing, and the next start removes what is left of it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

import jsonlines
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spa_bench.errors import InputError, SpaBenchError, first_complaint
from spa_bench.lock import lock
from spa_bench.runner.record import Episode, Listed, Named, episode_adapter, to_line

RUN_SCHEMA: Final = "spa-bench/run/1"


class UnwrittenError(SpaBenchError):
    """A file could not be written whole; what it held before is still there."""


class RunModel(BaseModel):
    """The model of a run: its name, what changes its answers, what it can do."""

    model_config = ConfigDict(extra="forbid")

    name: str
    identity: dict[str, Any]
    capabilities: Named[bool]


class RunTask(BaseModel):
    """One task of a run, resolved: its file and includes as they were, and what they mean.

    Attributes:
        trained_on: how many of the boards the model was trained on; None where it does not say.
    """

    model_config = ConfigDict(extra="forbid")

    task: str
    hash: str
    repeats: int
    boards: int
    skipped_seeds: Listed[int]
    config: dict[str, Any]
    trained_on: int | None = None


class Price(BaseModel):
    """US dollars per million tokens; reasoning tokens count as completion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)

    def of(self, prompt: int, completion: int) -> float:
        """Returns the cost of so many tokens, in US dollars."""
        return (self.prompt * prompt + self.completion * completion) / 1e6


class RunInfo(BaseModel):
    """The contents of `run.json`; `shard`, such as `2/8`, where a part of the boards is played."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: Literal["spa-bench/run/1"] = Field(default=RUN_SCHEMA, alias="schema")
    created: str
    salt: str
    limit: int | None
    shard: str | None = None
    price: Price | None = None
    model: RunModel
    tasks: Listed[RunTask]
    versions: Named[str]


@dataclass(frozen=True)
class BadLine:
    """A line of the log that is no episode: torn, foreign or altered."""

    number: int
    reason: str


@dataclass
class BadLines:
    """Counts the lines of a log that are no episodes."""

    count: int = 0
    first: BadLine | None = None

    def __call__(self, line: BadLine) -> None:
        self.first = self.first or line
        self.count += 1

    def told(self, log: Path | str) -> str | None:
        """Returns one line about them, for people; None if there are none."""
        if self.first is None:
            return None
        return (
            f"{log}: skipped {self.count} line(s) that are not episodes;"
            f" the first is line {self.first.number}: {self.first.reason}"
        )


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def info_path(self) -> Path:
        """What is played."""
        return self.path / "run.json"

    @property
    def episodes_path(self) -> Path:
        """The log."""
        return self.path / "episodes.jsonl"

    @property
    def results_path(self) -> Path:
        """The results, derived from the log."""
        return self.path / "results.json"

    def exists(self) -> bool:
        """Returns whether the folder holds a run, or at least episodes of one."""
        log = self.episodes_path
        return self.info_path.exists() or (log.exists() and log.stat().st_size > 0)

    def read_info(self) -> RunInfo:
        """Reads `run.json`.

        Raises:
            InputError: if it is missing or not what this version can read.
        """
        path = self.info_path
        try:
            return RunInfo.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(self._no_run()) from None
        except ValidationError as error:
            said = first_complaint(error)
            raise InputError(f"{path}: not a run this version reads: {said}") from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None

    def _no_run(self) -> str:
        """Returns what is wrong where there is no `run.json`, and what to give instead."""
        if self.exists():
            return f"{self.path} holds episodes but no run.json; choose another folder"
        if not self.path.is_file():
            return f"{self.path} holds no run (no run.json); give a run's folder, such as runs/NAME"
        around = self.path.parent
        folder = around if RunFolder(around).exists() else "runs/NAME"
        return f"{self.path} is a file; give a run's folder, such as {folder}"

    def write_info(self, info: RunInfo) -> None:
        """Writes `run.json`, whole or not at all."""
        content = info.model_dump_json(by_alias=True, indent=2).encode() + b"\n"
        write_atomically(self.info_path, content)

    def episodes(self, on_bad: Callable[[BadLine], None] | None = None) -> Iterator[Episode]:
        """Yields the episodes of the log in file order; lines that are none go to `on_bad`."""
        if not self.episodes_path.exists():
            return
        open_reader = cast(Any, jsonlines.Reader)  # its types do not declare `loads`
        validate = episode_adapter().validate_json
        with (
            self.episodes_path.open("rb") as file,
            open_reader(file, loads=validate) as reader,
        ):
            while True:
                try:
                    yield reader.read()
                except EOFError:
                    return
                except jsonlines.InvalidLineError as error:
                    if on_bad is not None:
                        on_bad(BadLine(error.lineno, _reason(error)))

    def writer(self) -> EpisodeWriter:
        """Opens the log for appending.

        Raises:
            InputError: if another process is writing to it, or the folder cannot be made or
                written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made: {error.strerror}") from None
        return EpisodeWriter(self.episodes_path)


class EpisodeWriter:
    """Appends whole lines to the log, and holds its lock while open.

    Attributes:
        locked: False where the file system has no locks, so that nobody is kept out.
        torn_bytes: how many bytes of an unfinished line were removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("ab+", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        try:
            self.locked = lock(self._file, f"{path}: another process is writing to this run")
        except InputError:
            self._file.close()
            raise
        self.torn_bytes = self._drop_torn_line()

    def write(self, episode: Episode) -> None:
        """Appends one episode.

        Raises:
            UnwrittenError: if the line cannot be written whole, such as on a full disk.
            SpaBenchError: if the file is no longer there.
        """
        line = memoryview(to_line(episode))
        try:
            while line:
                line = line[self._file.write(line) :]
            removed = os.fstat(self._file.fileno()).st_nlink == 0
        except OSError as error:
            raise _unwritten(self._path, error) from None
        if removed:
            raise SpaBenchError(
                f"{self._path}: somebody removed the log while it was being written; stopped, since"
                " nothing more would be kept"
            )

    def close(self) -> None:
        """Brings the log to the disk and gives back the lock.

        Raises:
            UnwrittenError: if the disk refuses it.
        """
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritten(self._path, error) from None
        finally:
            self._file.close()

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop_torn_line(self) -> int:
        """Cuts off what follows the last line feed, and returns how many bytes that were."""
        size = self._file.seek(0, os.SEEK_END)
        keep = size
        while keep > 0:
            start = max(0, keep - 65536)
            self._file.seek(start)
            block = self._file.read(keep - start)
            feed = block.rfind(b"\n")
            if feed >= 0:
                keep = start + feed + 1
                break
            keep = start
        if keep < size:
            self._file.truncate(keep)
        return size - keep


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader finds the old content or the new, never a part.

    Raises:
        UnwrittenError: if it cannot be written.
    """
    try:
        _replace(path, content)
    except OSError as error:
        raise _unwritten(path, error) from None


def write_named(path: Path, content: bytes) -> None:
    """Writes a file that a user named, as `write_atomically` does.

    Where the name is a link, what it points to is written; a device or a pipe stays what it is.

    Raises:
        UnwrittenError: if it cannot be written.
    """
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise _unwritten(path, error) from None
    else:
        write_atomically(Path(os.path.realpath(path)), content)


def _replace(path: Path, content: bytes) -> None:
    whole = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with whole.open("xb") as file:  # and not tempfile's, which nobody else may read
            if path.is_file() and not path.is_symlink():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)
    except BaseException:
        whole.unlink(missing_ok=True)
        raise


def _unwritten(path: Path, error: OSError) -> UnwrittenError:
    return UnwrittenError(f"{path}: cannot be written: {error.strerror}")


def _reason(error: jsonlines.InvalidLineError) -> str:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return first_complaint(cause)
    return str(error).splitlines()[0][:200]

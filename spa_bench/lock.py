"""One process at a time: a lock on a file that is held as long as the file is open."""

from __future__ import annotations

import fcntl
from typing import IO, Any

from spa_bench.errors import InputError

NO_LOCKS = "this file system has no locks: make sure that nothing else writes there meanwhile"


def lock(file: IO[Any], taken: str) -> bool:
    """Locks an open file until it is closed; returns False where the file system has no locks.

    Some file systems of clusters have none; work there goes on, and the caller says `NO_LOCKS`.

    Raises:
        InputError: `taken`, if another process holds the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(taken) from None
    except OSError:
        return False
    return True

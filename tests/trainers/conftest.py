"""What several tests of trainings share."""

import resource
from contextlib import contextmanager

import pytest


@pytest.fixture
def full_disk():
    """Returns a context in which no file grows beyond so many bytes."""

    @contextmanager
    def full(limit):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full

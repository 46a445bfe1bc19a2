"""Submissions to the leaderboard: packed from a run, verified by replaying every episode."""

from importlib.metadata import version

THIS_VERSION = version("spa-bench")
"""The version that packs and verifies here."""

"""Submissions to the leaderboard: packed from a run, verified by replaying every episode."""

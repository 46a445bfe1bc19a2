"""Coverage-guided fuzzing of what reads other people's bytes: `python -m fuzz TARGET`.

One file a target; each has `one(data)`, which reads any bytes and fails only for a bug of ours.
"""

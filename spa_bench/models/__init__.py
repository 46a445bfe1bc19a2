"""Anything that can answer: baselines, local checkpoints, servers. Adapters load lazily."""

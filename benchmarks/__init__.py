"""Measurements: speed and memory beside peers, and every figure that the documents state."""

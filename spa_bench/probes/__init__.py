"""Probes: single questions about a world, each with its answer from the kernel."""

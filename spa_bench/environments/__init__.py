"""Worlds as exact transition kernels, and what follows from a kernel alone: bounds and solvers."""

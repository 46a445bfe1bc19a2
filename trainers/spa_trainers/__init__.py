"""Trains world models into language models: self-play, SFT, and reinforcement learning.

Uses the harness (`spa_bench`) for everything that is played; the harness never imports this.
"""

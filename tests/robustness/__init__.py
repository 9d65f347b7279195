"""Attacks on what the app promises: nothing lost, nothing doubled, nothing open. ``python -m tests.robustness``."""

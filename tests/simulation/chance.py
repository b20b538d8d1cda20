"""The only source of chance in a simulation."""

from random import Random


def make_random(seed: str) -> Random:
    """A generator that gives the same numbers for the same seed on every machine."""
    return Random(seed)  # equal runs are wanted, not secrets

"""Inputs about the way to the other members (rule P91); in the union of `effects`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected:
    """The way to the others is open again; what was sent meanwhile is lost (rule P91)."""

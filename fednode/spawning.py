"""How the parts of a node run tasks: the node starts them, and stops itself when one fails."""

from asyncio import Task
from collections.abc import Callable, Coroutine
from typing import TypeAlias

Spawn: TypeAlias = Callable[[Coroutine[object, object, None], str], Task[None]]
"""Runs some work as a task of that name."""


def cannot_spawn(work: Coroutine[object, object, None], name: str) -> Task[None]:
    """Refuse to run anything: what a part has before the node gives it the real thing."""
    work.close()
    raise RuntimeError(f"the node does not run yet: {name}")

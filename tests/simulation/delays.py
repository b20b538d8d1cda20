"""How long a simulated node works."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.node import Node

TRAIN_MS: Final = 300
STRAGGLER_MS: Final = 6_000


def training_ms(node: "Node") -> int:
    """How long one training of a node takes."""
    base = STRAGGLER_MS if node.is_straggler else TRAIN_MS
    return 1 + int(node.world.rng.random() * base)

"""How this node reaches the others: what everything that sends needs to know."""

from collections.abc import Callable
from dataclasses import dataclass

from fednode.transport.base import Transport
from fednode.wire.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A transport, who is at its ends, and the seal on what goes through it.

    Attributes:
        own: This node's member number.
        transport: Carries envelopes.
        topics: Topic names of the chain.
        seal: Seals a plaintext for the wire.
    """

    own: int
    transport: Transport
    topics: Topics
    seal: Callable[[bytes], bytes]

"""What travels between simulated nodes: the production messages, and bodies."""

from dataclasses import dataclass
from typing import TypeAlias

from consensus.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPush:
    """A whole body arrives; where bodies are names only, there is nothing in it."""

    body_id: bytes
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPull:
    """Somebody asks for a body."""

    body_id: bytes


Packet: TypeAlias = Message | BodyPush | BodyPull


class ViolationError(AssertionError):
    """The protocol broke a promise: what the simulator looks for."""

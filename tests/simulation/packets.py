"""What travels between simulated nodes: the production messages, and bodies by name only."""

from dataclasses import dataclass
from typing import TypeAlias

from consensus.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPush:
    """A whole body arrives; only its id matters here."""

    body_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPull:
    """Somebody asks for a body."""

    body_id: bytes


Packet: TypeAlias = Message | BodyPush | BodyPull


class ViolationError(AssertionError):
    """The protocol broke a promise: what the simulator looks for."""

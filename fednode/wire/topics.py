"""Names of the MQTT topics of one chain; they carry no name of a hospital (Rule P90).

A topic only routes. Kind, sender, chain and height of a message are read from signed bytes, never
from the topic by which it came (Rule P3).
"""

import hashlib
from dataclasses import dataclass

_CHAIN_TAG = b"fednode/topics/1"
_CHAIN_HEX = 16
_STATUS_HEX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of one chain.

    Attributes:
        root: First levels of every topic of this chain.
    """

    root: str

    @property
    def control(self) -> str:
        """Signed messages to everybody: headers, HAVEs, proposals, votes, certificates."""
        return f"{self.root}/control"

    @property
    def bodies(self) -> str:
        """Packets of bodies pushed to everybody."""
        return f"{self.root}/bodies"

    @property
    def every_status(self) -> str:
        """Filter that matches the status topic of every member."""
        return f"{self.root}/status/+"

    def status(self, member: bytes) -> str:
        """Retained status of one member, a hint for people and for whom to ask (Rule P92)."""
        return f"{self.root}/status/{member.hex()[:_STATUS_HEX]}"

    def requests(self, member: bytes) -> str:
        """Requests addressed to one member (its public key)."""
        return f"{self.root}/to/{member.hex()}/control"

    def answers(self, member: bytes) -> str:
        """Blocks and packets sent to one member on its request."""
        return f"{self.root}/to/{member.hex()}/bodies"


def topics_of(chain_id: bytes) -> Topics:
    """Return the topics of a chain; the broker learns a hash of the chain id, not the id."""
    digest = hashlib.sha256(_CHAIN_TAG + chain_id).hexdigest()
    return Topics(root=f"fednode/{digest[:_CHAIN_HEX]}")

"""Names of the MQTT topics of one chain; they carry no name of a hospital (Rule P90).

A topic only routes. Kind, sender, chain and height of a message are read from signed bytes, never
from the topic by which it came (Rule P3). Members are addressed by number, so that whoever was away
while others changed their keys reaches them all the same (Rule P81).
"""

import hashlib
from dataclasses import dataclass

_CHAIN_TAG = b"fednode/topics/1"
_CHAIN_HEX = 16


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

    def status(self, member: int) -> str:
        """Retained status of one member, a hint for people and for whom to ask (Rule P92)."""
        return f"{self.root}/status/{member}"

    def requests(self, member: int) -> str:
        """Requests addressed to one member."""
        return f"{self.root}/to/{member}/control"

    def answers(self, member: int) -> str:
        """Blocks and packets sent to one member on its request."""
        return f"{self.root}/to/{member}/bodies"

    @property
    def every_request(self) -> str:
        """Filter that matches the requests to every member."""
        return f"{self.root}/to/+/control"

    @property
    def every_answer(self) -> str:
        """Filter that matches the answers to every member."""
        return f"{self.root}/to/+/bodies"


def topics_of(chain_id: bytes) -> Topics:
    """Return the topics of a chain; the broker learns a hash of the chain id, not the id."""
    digest = hashlib.sha256(_CHAIN_TAG + chain_id).hexdigest()
    return Topics(root=f"fednode/{digest[:_CHAIN_HEX]}")

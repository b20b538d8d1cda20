"""From bytes of anybody to verified inputs: open, decode, verify, or count and drop."""

import logging
from collections import OrderedDict
from hashlib import sha256
from typing import Final, TypeAlias

from consensus.effects import Input
from consensus.verification import verify_message
from fednode.roster import Roster
from fednode.transport.base import PAYLOAD_BYTES_WISH
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, Opened, open_envelope
from fednode.wire.messages import PullRequestMessage, decode_plaintext
from fednode.wire.packets import BodyPacket, PullRequest
from ledger.errors import CertificateError, DecodeError, SignatureError
from ledger.keys import ED25519, SignatureScheme, Verified, verify

logger = logging.getLogger(__name__)

SEEN_MAX: Final = 16_384
"""Digests of received payloads that are remembered, newest last."""
Arrival: TypeAlias = Input | Verified[PullRequest] | tuple[BodyPacket, int | None]


class MessageInbox:
    """Turns envelopes into verified values (rules P2, P3, P90).

    Args:
        roster: Knows the members and their keys.
        keyring: Keys under which envelopes may be sealed.
        counters: Where refused messages are counted by reason.
        scheme: How signatures are checked.
    """

    def __init__(
        self,
        *,
        roster: Roster,
        keyring: Keyring,
        counters: Counters,
        scheme: SignatureScheme = ED25519,
    ) -> None:
        self._roster = roster
        self._keyring = keyring
        self._counters = counters
        self._scheme = scheme
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def open(self, payload: bytes) -> Arrival | None:
        """Return what an envelope holds, or None after counting why it was dropped.

        Reading holds the event loop, so nothing is read that is longer than any node sends.
        """
        if len(payload) > PAYLOAD_BYTES_WISH:
            error = DecodeError(f"expected {PAYLOAD_BYTES_WISH} bytes at most, got {len(payload)}")
            self._drop("payload_bytes", error)
            return None
        if self._is_replayed(payload):
            self._counters.add("replayed")
            return None
        try:
            opened = open_envelope(payload, self._keyring)
        except DecodeError as error:
            self._drop("envelope", error)
            return None
        try:
            return self._read(opened)
        except (DecodeError, SignatureError, CertificateError) as error:
            self._drop(type(error).__name__, error)
            return None

    def _is_replayed(self, payload: bytes) -> bool:
        """Whether these very bytes came before (rule P91).

        What a member says again is sealed under a fresh nonce, so only a broker repeats bytes.
        """
        digest = sha256(payload).digest()
        if digest in self._seen:
            self._seen.move_to_end(digest)
            return True
        self._seen[digest] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return False

    def _read(self, opened: Opened) -> Arrival:
        message = decode_plaintext(opened.plaintext)
        if isinstance(message, BodyPacket):
            return message, opened.owner
        if isinstance(message, PullRequestMessage):
            return self._verify_request(message)
        roster = self._roster
        return verify_message(
            message,
            contract=roster.contract,
            chain_id=roster.state.chain_id,
            scheme=self._scheme,
        )

    def _verify_request(self, message: PullRequestMessage) -> Verified[PullRequest]:
        members, signer = self._roster.contract.members, message.request.signer
        if signer >= len(members):
            raise SignatureError(f"expected a member below {len(members)}, got {signer}")
        return verify(
            message.request,
            members[signer].public_key,
            chain_id=self._roster.state.chain_id,
            scheme=self._scheme,
        )

    def _drop(self, reason: str, error: Exception) -> None:
        self._counters.add(reason)
        logger.debug("dropped a message: %s", error)

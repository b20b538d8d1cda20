"""From bytes of anybody to verified inputs: open, decode, verify, or count and drop."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from consensus.effects import Input
from consensus.verification import verify_message
from fednode.roster import Roster
from fednode.transport.base import PAYLOAD_BYTES_WISH
from fednode.wire.channels import Channel, SenderBox
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, Opened, mark_of, open_envelope
from fednode.wire.messages import (
    ChannelMessage,
    PullRequestMessage,
    SenderMessage,
    decode_plaintext,
    is_inner_envelope,
)
from fednode.wire.packets import BodyPacket, PullRequest, decode_packet
from fednode.wire.sender_keys import SenderKeys
from ledger.errors import CertificateError, DecodeError, SignatureError
from ledger.keys import ED25519, SignatureScheme, Signed, StatementT, Verified, verify
from ledger.membership import Standing

logger = logging.getLogger(__name__)

SEEN_MAX: Final = 16_384
"""Marks of opened envelopes that are remembered, newest last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedPacket:
    """A packet of a body, and the member that sent it if it is an answer to this node alone."""

    packet: BodyPacket
    sender: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNews:
    """What a member said about its keys."""

    statement: Verified[Channel] | Verified[SenderBox]


Arrival: TypeAlias = Input | Verified[PullRequest] | KeyNews | ArrivedPacket


class MessageInbox:
    """Turns envelopes into verified values (rules P2, P3, P90).

    Args:
        roster: Knows the members and their keys.
        keyring: Keys under which envelopes may be sealed.
        sender_keys: Open what is sealed besides, for members only: packets of bodies.
        counters: Where refused messages are counted by reason.
        scheme: How signatures are checked.
    """

    def __init__(
        self,
        *,
        roster: Roster,
        keyring: Keyring,
        sender_keys: SenderKeys,
        counters: Counters,
        scheme: SignatureScheme = ED25519,
    ) -> None:
        self._roster = roster
        self._keyring = keyring
        self._sender_keys = sender_keys
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
        mark = mark_of(payload)
        if mark in self._seen:
            self._seen.move_to_end(mark)
            self._counters.add("replayed")
            return None
        try:
            opened = open_envelope(payload, self._keyring)
        except DecodeError as error:
            self._drop("envelope", error)
            return None
        self._remember(mark)
        try:
            return self._read(opened)
        except (DecodeError, SignatureError, CertificateError) as error:
            self._drop(type(error).__name__, error)
            return None

    def _remember(self, mark: bytes) -> None:
        """Remember an envelope that opened, so that it is not read again (rule P91).

        What a member says again is sealed under a fresh nonce, so only a broker repeats bytes. What
        does not open is not remembered: a forged copy that comes first keeps nothing out.
        """
        self._seen[mark] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)

    def _read(self, opened: Opened) -> Arrival | None:
        if is_inner_envelope(opened.plaintext):
            return self._read_packet(opened.plaintext)
        message = decode_plaintext(opened.plaintext)
        match message:
            case PullRequestMessage(request=request):
                return self._verified(request)
            case ChannelMessage(channel=channel):
                return KeyNews(statement=self._verified(channel))
            case SenderMessage(sender=sender):
                return KeyNews(statement=self._verified(sender))
            case _:
                roster = self._roster
                return verify_message(
                    message,
                    contract=roster.contract,
                    state=roster.state,
                    scheme=self._scheme,
                )

    def _read_packet(self, envelope: bytes) -> ArrivedPacket | None:
        opened = self._sender_keys.open(envelope)
        if opened is None:
            return None
        return ArrivedPacket(packet=decode_packet(opened.plaintext), sender=opened.owner)

    def _verified(self, signed: Signed[StatementT]) -> Verified[StatementT]:
        state, signer = self._roster.state, signed.signer
        members = state.membership.members
        if signer >= len(members) or signer in state.banned:
            raise SignatureError(f"expected one of {len(members)} members, got {signer}")
        if members[signer].standing not in (Standing.ACTIVE, Standing.PENDING):
            # Whoever is pending fetches models, to be ready; who is gone gets none.
            raise SignatureError(f"member {signer} is no member now")
        return verify(
            signed,
            members[signer].member.public_key,
            chain_id=state.chain_id,
            scheme=self._scheme,
        )

    def _drop(self, reason: str, error: Exception) -> None:
        self._counters.add(reason)
        logger.debug("dropped a message: %s", error)

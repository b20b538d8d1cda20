"""Answers for members that are behind: stored bytes, passed on without reading them (P35, P80)."""

from typing import Final

from consensus import effects as fx
from consensus.messages import SYNC_BLOCKS_MAX
from fednode.journal import Journal
from fednode.outbox import Outbox
from fednode.wire.messages import encode_blocks, encode_certificate
from ledger.store import Ledger

FRAME_BYTES: Final = 5
"""Of an answer besides its blocks and its certificate: at most 64 blocks have a header of three."""


class BlockAnswers:
    """Makes answers of what the ledger holds.

    How often a member is answered, the engine bounds; how much each answer is, the packet limit.

    Args:
        ledger: Holds decided blocks and certificates.
        outbox: Sends the answers.
        journal: Told about a block that no packet carries.
    """

    def __init__(self, ledger: Ledger, outbox: Outbox, journal: Journal) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._journal = journal

    def send_blocks(self, member: int, from_height: int) -> None:
        """Send a member the blocks from a height on that fit one packet, at most 64 (rule P80)."""
        if self._outbox.has_blocks_for(member):
            return
        room = self._outbox.room_bytes - FRAME_BYTES
        blocks: list[bytes] = []
        certificate = b""
        last = min(self._ledger.head, from_height + SYNC_BLOCKS_MAX - 1)
        for height in range(from_height, last + 1):
            block = self._ledger.encoded_block(height)
            its_certificate = self._ledger.encoded_certificate(height)
            room -= len(block)
            if room < len(its_certificate):
                break
            blocks.append(block)
            certificate = its_certificate
        if blocks:
            self._outbox.send_blocks(member, encode_blocks(blocks, certificate))
        else:
            text = f"height={from_height} member={member}: cannot send this block: it is above the"
            text += " packet limit of the broker: raise that limit"
            self._journal.note(fx.Notice(is_error=True, text=text))

    def send_certificate(self, member: int, height: int) -> None:
        """Send a member the certificate of a height on which it still votes (rule P35)."""
        certificate = self._ledger.encoded_certificate(height)
        self._outbox.send_encoded(member, encode_certificate(certificate))

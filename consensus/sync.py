"""Catching up with those who are further, and helping those who are not as far (rules P33, P80)."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from consensus.acts import set_fetch_timer
from consensus.desk import Desk
from consensus.effects import BlocksReceived
from consensus.messages import BlocksRequest, BlocksRequestMessage
from ledger.certificates import check_certificate
from ledger.errors import CertificateError
from ledger.membership import Standing
from ledger.records import Block, Phase, QuorumCertificate, block_id

DEAF_PERIODS_MAX: Final = 4
"""Rebroadcast periods without a word of anybody after which members are asked in turn."""
COUNTERS_KEPT: Final = 64
"""Answered counters remembered per requester; a repeated one is not answered again."""


class Sync:
    """Asks one member at a time for the blocks that it claims to have, and another one after it.

    A member that is one block ahead is no reason to ask yet: usually the decision is on its way.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._claims: dict[int, int] = {}
        self._asked: int | None = None
        self._last_asked = -1
        self._waiting_at = -1
        self._attempt = 0
        self._deaf_periods = 0
        self._stranger = -1

    @property
    def is_behind(self) -> bool:
        """Whether blocking power claims to have more blocks: a liar may claim so for ever."""
        self._drop_reached()
        validators = self._desk.state.validators
        return validators.is_blocked_by(sum(map(validators.power_of, self._claims)))

    def heard(self, member: int, height: int) -> None:
        """Note that a member claims to have the block of `height`."""
        if member != self._desk.member:
            self._deaf_periods = 0
        if member != self._desk.member and height > self._desk.state.height:
            self._claims[member] = max(height, self._claims.get(member, 0))

    def pursue(self) -> None:
        """Ask, or wait a little, while some member is further (rule P80)."""
        # All claims are of more blocks: when the height began, `is_behind` dropped the others.
        if not self._claims or self._waiting_at == self._desk.height or self._desk.signer is None:
            return
        self._asked = None
        self._attempt = 0
        is_far = max(self._claims.values()) > self._desk.height
        if is_far:
            self._ask()
        else:
            self._wait()

    def timeout(self) -> None:
        """Ask another one: nothing came, or not enough (rule P80)."""
        self._waiting_at = -1
        self._drop_reached()
        if self._asked is not None:
            # It may say again where it is; until then others are asked.
            self._claims.pop(self._asked, None)
            self._asked = None
        if self._claims:
            self._attempt += 1
            self._ask()

    def begin_period(self) -> None:
        """Ask somebody when nobody was heard for long (rules P80, P81).

        Who was away while all others changed their keys believes none of them, and reads their new
        keys in the blocks.
        """
        self._deaf_periods += 1
        if self._deaf_periods <= DEAF_PERIODS_MAX:
            return
        others = [
            number
            for number, each in enumerate(self._desk.state.membership.members)
            if number != self._desk.member and each.standing is not Standing.PENDING
        ]
        if others:
            self._stranger = next((each for each in others if each > self._stranger), others[0])
            self._request(self._stranger)

    def _ask(self) -> None:
        members = sorted(self._claims)
        responder = next((each for each in members if each > self._last_asked), members[0])
        self._request(responder)
        self._asked = self._last_asked = responder
        self._wait()

    def _request(self, responder: int) -> None:
        request = self._desk.sign_request(
            BlocksRequest(
                responder=responder,
                from_height=self._desk.height,
                counter=self._desk.next_counter(),
            )
        )
        if request is not None:
            self._desk.send(responder, BlocksRequestMessage(request=request))

    def _wait(self) -> None:
        self._waiting_at = self._desk.height
        set_fetch_timer(0, self._attempt, self._desk)

    def _drop_reached(self) -> None:
        reached = self._desk.state.height
        for member in [each for each, height in self._claims.items() if height <= reached]:
            del self._claims[member]


class Answered:
    """Remembers which requests were answered: each counter once per requester (section 2)."""

    def __init__(self) -> None:
        self._counters: dict[int, list[int]] = {}

    def is_first(self, member: int, counter: int) -> bool:
        """Return whether a member's counter is new, and remember it."""
        counters = self._counters.setdefault(member, [])
        if counter in counters:
            return False
        counters.append(counter)
        del counters[:-COUNTERS_KEPT]
        return True


def certified(received: BlocksReceived) -> Iterator[tuple[Block, QuorumCertificate]]:
    """Yield each block with the certificate that came for it: the next block's, or the last one."""
    for block, following in pairwise(received.blocks):
        for certificate in following.last_certificate:
            yield block, certificate
    for block in received.blocks[-1:]:
        yield block, received.certificate


def check_decision(block: Block, certificate: QuorumCertificate, desk: Desk) -> None:
    """Check that a quorum of the height's validators decided a block (rule P80).

    Raises:
        CertificateError: If the certificate is of something else or carries no quorum.
    """
    expected = (Phase.COMMIT, desk.height, block_id(block.header))
    got = (certificate.phase, certificate.height, certificate.block_id)
    if got != expected:
        where = f"certificate of height {certificate.height} view {certificate.view}"
        raise CertificateError(f"{where}: not a COMMIT certificate of the block that came with it")
    check_certificate(
        certificate,
        desk.state.validators,
        desk.public_keys,
        chain_id=desk.state.chain_id,
        scheme=desk.scheme,
    )

"""Votes and records: mixed valid views, and a crash between making durable and saying."""

from dataclasses import replace

import pytest
from typing_extensions import override

from consensus.effects import Effect, Persist, Publish
from consensus.messages import UpdateMessage
from consensus.record import SlotKind
from ledger.certificates import check_certificate, make_certificate
from ledger.errors import CertificateError
from ledger.genesis import public_keys
from ledger.keys import Signed, sign
from ledger.records import FRESH, Phase, QuorumCertificate, Vote
from ledger.state import initial_state
from tests.simulation import checkers
from tests.simulation.contracts import make_contract, member_key
from tests.simulation.mutants import publish_first
from tests.simulation.node import Node
from tests.simulation.packets import ViolationError
from tests.simulation.patching import attribute_replaced
from tests.simulation.scheme import StubScheme
from tests.simulation.settings import Settings
from tests.simulation.world import World

SETTINGS = Settings(seed=31, faulty_ms=1)
BLOCK = bytes(range(32))
DECIDE_MS = 60_000


def prepares(valid_views: tuple[int, ...]) -> tuple[Signed[Vote], ...]:
    """PREPAREs of view 3 for one block, one per member, each with its own valid view."""
    chain_id = initial_state(make_contract(SETTINGS)).chain_id
    votes = (
        Vote(phase=Phase.PREPARE, height=1, view=3, valid_view=valid_view, block_id=BLOCK)
        for valid_view in valid_views
    )
    return tuple(
        sign(vote, member_key(SETTINGS, member), signer=member, chain_id=chain_id)
        for member, vote in enumerate(votes)
    )


def test_prepares_with_different_valid_views_make_no_certificate() -> None:
    """Rule P34: a fork must name a third of the power, so the valid view is part of the vote."""
    validators = initial_state(make_contract(SETTINGS)).validators

    with pytest.raises(CertificateError, match="equal votes"):
        make_certificate(prepares((FRESH, FRESH, 1)), validators)


def test_a_certificate_put_together_from_different_valid_views_is_refused() -> None:
    """The signatures cover the valid view, so a forged certificate fails as a whole."""
    contract = make_contract(SETTINGS)
    state = initial_state(contract)
    honest = make_certificate(prepares((FRESH, FRESH, FRESH)), state.validators)
    other = prepares((FRESH, FRESH, 1))[2]
    forged: QuorumCertificate = replace(
        honest, signatures=(*honest.signatures[:2], other.signature)
    )
    check_certificate(
        honest,
        state.validators,
        public_keys(contract),
        chain_id=state.chain_id,
        scheme=StubScheme(),
    )

    with pytest.raises(CertificateError, match="member 2"):
        check_certificate(
            forged,
            state.validators,
            public_keys(contract),
            chain_id=state.chain_id,
            scheme=StubScheme(),
        )


class UpdateCrasher(Node):
    """Member 0 loses power once, right after its UPDATE header became durable."""

    has_crashed = False

    @override
    def carry_out(self, effect: Effect) -> None:
        super().carry_out(effect)
        is_update = isinstance(effect, Persist) and effect.record.slot(SlotKind.UPDATE)
        if self.member == 0 and not self.has_crashed and is_update:
            self.has_crashed = True
            self.crash()


class SaidFirst(Node):
    """Member 0 loses power once, right after its UPDATE header was said."""

    has_crashed = False

    @override
    def carry_out(self, effect: Effect) -> None:
        super().carry_out(effect)
        is_update = isinstance(effect, Publish) and isinstance(effect.message, UpdateMessage)
        if self.member == 0 and not self.has_crashed and is_update:
            self.has_crashed = True
            self.crash()


@pytest.mark.parametrize("node_class", [UpdateCrasher, SaidFirst])
def test_a_crash_around_the_update_republishes_and_never_trains_again(
    node_class: type[Node],
) -> None:
    """Rule P60: what is in the record is said again; another body would be equivocation."""
    world = World(SETTINGS, node_class=node_class)
    world.start()

    world.run_until(lambda: all(node.height >= 3 for node in world.nodes), within_ms=DECIDE_MS)

    world.end()
    assert world.counts["crashes"] == 1


def test_a_host_that_says_before_it_saves_is_caught_by_such_a_crash() -> None:
    """The same crash, with the host's order of effects broken: its peers show it what it said."""
    world = World(SETTINGS, node_class=SaidFirst)
    world.start()
    # Another checker finds the host at its first vote, before anything is lost.
    unseen = attribute_replaced(checkers, "judge_durable", lambda *_: None)

    with (
        publish_first(),
        unseen,
        pytest.raises(ViolationError, match="said what it then forgot"),
    ):
        world.run_until(lambda: all(node.height >= 3 for node in world.nodes), within_ms=DECIDE_MS)

"""Rule P45 in the engine: contradictions become evidence, evidence gets into the next block."""

from dataclasses import replace

import pytest

from consensus.accusations import Accusations
from consensus.effects import (
    BuildBlock,
    EvidenceReceived,
    Halt,
    Notice,
    Publish,
    SaveEvidence,
    TimerKind,
)
from consensus.messages import EvidenceMessage, ProposalMessage
from consensus.verification import verify_message
from ledger.errors import DecodeError, SignatureError
from ledger.evidence import EVIDENCE_WINDOW, evidence_key, make_evidence
from ledger.genesis import Role
from ledger.records import EVIDENCE_MAX, NIL, DoubleVote, Evidence, block_id
from tests.support.consensus.bench import COMMIT, PREPARE, Bench, equal_contract, started
from tests.support.evidence import KINDS, proof, signed, statements
from tests.support.ledger import STUB_SCHEME, stub_chain, with_roles


def hear(bench: Bench, evidence: Evidence) -> tuple[str, ...]:
    """Evidence arrives as the gate lets it through."""
    happened = verify_message(
        EvidenceMessage(evidence=evidence),
        contract=bench.contract,
        state=bench.state,
        scheme=STUB_SCHEME,
    )
    return bench.step(happened)


def built(bench: Bench) -> tuple[Evidence, ...]:
    """The evidence that the engine has put into the block of its view."""
    (order,) = [each for each in bench.history if isinstance(each, BuildBlock)]
    return order.evidence


def let_build(bench: Bench) -> None:
    """HAVEs of all; the engine leads view 0."""
    bench.fire(TimerKind.COLLECT)
    for member in bench.others:
        bench.have(member)


def published(bench: Bench) -> list[Evidence]:
    return [
        each.message.evidence
        for each in bench.effects
        if isinstance(each, Publish) and isinstance(each.message, EvidenceMessage)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_leader_carries_what_it_heard_of(kind: str) -> None:
    bench = started(leads=0)
    evidence = proof(bench.chain, bench.others[0], kind)

    assert hear(bench, evidence) == ()
    let_build(bench)

    assert built(bench) == (evidence,)


def test_two_votes_are_published_as_evidence_at_once_and_carried() -> None:
    """Rules P34 and P45."""
    bench = started(leads=0)
    liar = bench.others[0]
    bench.vote(liar, PREPARE, 0, NIL)
    bench.vote(liar, PREPARE, 0, bytes(32))

    (found,) = published(bench)
    let_build(bench)

    assert evidence_key(found) == (liar, "PREPARE", 1, 0)
    assert built(bench) == (found,)


def test_pending_evidence_is_said_again_each_period() -> None:
    """Rule P35: nothing that was said once can be relied on."""
    bench = started()
    evidence = proof(bench.chain, bench.others[0])
    hear(bench, evidence)

    for _ in range(2):
        bench.fire(TimerKind.REBROADCAST)
        assert published(bench) == [evidence]


def test_evidence_in_a_block_that_was_proposed_is_kept_if_the_block_is_not_decided() -> None:
    bench = started(leads=1)
    evidence = proof(bench.chain, bench.order[2])
    others = bench.others
    block = bench.chain.build(evidence=(evidence,), view=0, listing=others, trainers=others)
    bench.propose(block, 0)

    bench.votes(COMMIT, 0, NIL)
    let_build(bench)

    assert built(bench) == (evidence,)


def test_evidence_is_dropped_when_a_block_carried_it() -> None:
    bench = started()
    liar = bench.others[0]
    evidence = proof(bench.chain, liar)
    hear(bench, evidence)
    others = bench.others
    block = bench.chain.build(evidence=(evidence,), listing=others, trainers=others)
    bench.propose(block, 0)

    bench.certify(bench.certificate(COMMIT, 0, block_id(block.header)))
    told = [each.text for each in bench.history if isinstance(each, Notice)]
    bench.fire(TimerKind.REBROADCAST)

    assert bench.engine.state.banned == (liar,)
    assert published(bench) == []
    assert any(f"member={liar}: hospital-{liar} is banned for two different" in t for t in told)


def test_a_banned_members_votes_and_haves_have_no_power() -> None:
    chain = stub_chain(1, of=equal_contract())
    chain.add(chain.build(evidence=(proof(chain, 1),)))
    bench = Bench(chain=chain, member=0)
    bench.start()

    bench.votes(COMMIT, 0, NIL, members=[1, 2])
    assert bench.engine.view == 0
    bench.have(1)
    assert 1 not in bench.order


def test_nobody_waits_for_the_update_of_a_banned_member() -> None:
    """Rule P11: it would never come."""
    chain = stub_chain(1, of=equal_contract())
    chain.add(chain.build(evidence=(proof(chain, 1),)))
    bench = Bench(chain=chain, member=0)
    bench.start()

    lines = bench.hold(0, 2, 3)

    assert "HAVE 3" in lines


def test_evidence_against_the_own_key_stops_the_node_with_a_sentence() -> None:
    """Rule P60: the key is used twice."""
    bench = started()

    assert hear(bench, proof(bench.chain, bench.member)) == ("halt",)

    (halt,) = bench.of_type(Halt)
    assert isinstance(halt, Halt)
    assert "two different COMMIT statements of height 1 view 2 are signed with this" in halt.reason


def test_a_node_whose_key_is_banned_stops_when_it_learns_so_and_at_every_start() -> None:
    chain = stub_chain(1, of=equal_contract())
    member = 1
    chain.add(chain.build(evidence=(proof(chain, member),)))
    bench = Bench(chain=chain, member=member)

    lines = bench.start()

    assert lines == ("halt",)
    (halt,) = bench.of_type(Halt)
    assert isinstance(halt, Halt)
    assert halt.reason.startswith("height=2 member=1: a block banned this node's key")


def test_an_observer_keeps_evidence_against_anybody() -> None:
    bench = started()
    bench.engine._desk.signer = None

    assert hear(bench, proof(bench.chain, bench.member)) == ()


@pytest.mark.parametrize("height", [0, 2])
def test_evidence_of_a_height_that_no_block_here_may_carry_takes_no_room(height: int) -> None:
    """A liar could fill its place with statements of heights that never come."""
    bench = started(leads=0)
    liar = bench.others[0]
    hear(bench, proof(bench.chain, liar, height=height))
    evidence = proof(bench.chain, liar)
    hear(bench, evidence)

    let_build(bench)

    assert built(bench) == (evidence,)


def test_the_newest_evidence_of_a_member_is_kept_and_expires_last() -> None:
    """Rule P37: one piece per member."""
    chain = stub_chain(3, of=equal_contract())
    accusations = Accusations()
    older, newer = proof(chain, 1, height=2), proof(chain, 1, height=3)

    assert accusations.add(chain.contract, chain.state, newer)
    assert not accusations.add(chain.contract, chain.state, older)
    assert accusations.proposable(chain.contract, chain.state) == (newer,)
    accusations.forget(chain.contract, replace(chain.state, height=2 + EVIDENCE_WINDOW))
    assert accusations.proposable(chain.contract, chain.state) == ()


def test_a_leader_accuses_so_many_that_somebody_is_left() -> None:
    few, many = stub_chain(0, of=equal_contract(3)), stub_chain(0, of=equal_contract(10))
    for chain, expected in ((few, (0, 1)), (many, tuple(range(EVIDENCE_MAX)))):
        accusations = Accusations()
        for member in reversed(range(len(chain.contract.members))):
            accusations.add(chain.contract, chain.state, proof(chain, member))
        chosen = accusations.proposable(chain.contract, chain.state)
        assert tuple(evidence_key(each)[0] for each in chosen) == expected


def bad_evidence(bench: Bench) -> dict[str, tuple[Evidence, type[Exception]]]:
    liar, other = bench.others[:2]
    one, another = (signed(bench.chain, liar, each) for each in statements("COMMIT", liar, 1))
    true = proof(bench.chain, liar)
    assert isinstance(true, DoubleVote)
    moved = signed(bench.chain, liar, statements("COMMIT", liar, 2)[0])
    return {
        "twice": (make_evidence(one, one), DecodeError),
        "turned": (DoubleVote(first=true.second, second=true.first), DecodeError),
        "heights": (make_evidence(one, moved), DecodeError),
        "members": (make_evidence(one, replace(another, signer=other)), DecodeError),
        "signature": (make_evidence(one, replace(another, signature=bytes(64))), SignatureError),
        "no validator": (proof(bench.chain, 4), DecodeError),
        "stranger": (
            make_evidence(replace(one, signer=9), replace(another, signer=9)),
            DecodeError,
        ),
    }


@pytest.mark.parametrize(
    "name", ["twice", "turned", "heights", "members", "signature", "no validator", "stranger"]
)
def test_the_gate_refuses_what_proves_nothing(name: str) -> None:
    of = with_roles(equal_contract(5), {4: Role.TRAINER})
    bench = started(chain=stub_chain(0, of=of), leads=0)
    evidence, error = bad_evidence(bench)[name]

    with pytest.raises(error):
        hear(bench, evidence)


def test_good_evidence_becomes_an_input() -> None:
    bench = started()
    message = EvidenceMessage(evidence=proof(bench.chain, bench.others[0]))

    happened = verify_message(
        message, contract=bench.contract, state=bench.state, scheme=STUB_SCHEME
    )

    assert happened == EvidenceReceived(evidence=message.evidence)


def test_a_block_whose_evidence_was_taken_out_on_the_way_is_refused() -> None:
    """Its header names the evidence: whoever passes a block on cannot make it look invalid."""
    bench = started()
    block = bench.chain.build(evidence=(proof(bench.chain, bench.others[0]),))
    message = ProposalMessage(
        proposal=bench.signed_proposal(block, 0),
        block=replace(block, evidence=()),
        certificate=(),
    )

    with pytest.raises(DecodeError, match="its lists are not its header's"):
        verify_message(message, contract=bench.contract, state=bench.state, scheme=STUB_SCHEME)


def test_evidence_is_durable_before_it_is_said_and_survives_a_restart() -> None:
    bench = started(leads=0)
    evidence = proof(bench.chain, bench.others[0])
    bench.vote(bench.others[1], PREPARE, 0, bytes([1]) * 32)
    bench.vote(bench.others[1], PREPARE, 0, bytes([2]) * 32)
    kinds = [type(each) for each in bench.effects]
    hear(bench, evidence)

    bench.restart()
    let_build(bench)

    assert kinds.index(SaveEvidence) < kinds.index(Publish)
    assert evidence in built(bench)
    assert len(built(bench)) == 2

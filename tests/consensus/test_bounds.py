"""What members can make a node keep or say is bounded (rule P37)."""

from dataclasses import replace

from consensus.acts import report_vote
from consensus.desk import CONTRADICTIONS_MAX, NOTICES_MAX
from consensus.effects import Notice, ProposalReceived, ReportContradiction, UpdateHeld
from consensus.later import HELD_PER_TRAINER, Later
from consensus.messages import ProposalMessage
from consensus.proposals import PROPOSAL_VIEWS_KEPT, Proposals
from ledger.records import block_id
from tests.support.consensus.bench import PREPARE, Bench

NOTHING: frozenset[bytes] = frozenset()


def offer_of(bench: Bench, view: int) -> ProposalMessage:
    block = bench.block(f"block of {view}", view=view)
    return ProposalMessage(proposal=bench.signed_proposal(block, view), block=block, certificate=())


def test_beyond_the_next_view_only_the_newest_proposal_of_each_proposer_is_kept() -> None:
    bench, kept = Bench(), Proposals()
    views = range(2, 22)

    for view in views:
        kept.add(offer_of(bench, view), view=0, kept=NOTHING)
    is_older_kept = kept.add(offer_of(bench, 6), view=0, kept=NOTHING)

    assert sorted(kept.of_view) == [18, 19, 20, 21]
    assert len(kept.blocks) == 4
    assert not is_older_kept


def test_proposals_of_views_long_past_are_forgotten_but_not_what_a_certificate_names() -> None:
    bench, kept = Bench(), Proposals()
    first, second = offer_of(bench, 0), offer_of(bench, 1)
    for view, offer in enumerate((first, second)):
        kept.add(offer, view=view, kept=NOTHING)
    named = first.proposal.statement.block_id

    kept.forget_before(PROPOSAL_VIEWS_KEPT + 2, frozenset({named}))

    assert kept.of_view == {}
    assert set(kept.blocks) == {named}


def test_the_block_of_a_second_proposal_is_kept_only_when_a_certificate_names_it() -> None:
    """Rules P33, P34."""
    bench = Bench()
    a, b = bench.block("A"), bench.block("B", is_other=True)
    first, second = (
        ProposalMessage(proposal=bench.signed_proposal(each, 0), block=each, certificate=())
        for each in (a, b)
    )
    unnamed, named = Proposals(), Proposals()

    for kept, ids in ((unnamed, NOTHING), (named, frozenset({block_id(b.header)}))):
        kept.add(first, view=0, kept=ids)
        kept.add(second, view=0, kept=ids)

    assert set(unnamed.blocks) == {block_id(a.header)}
    assert set(named.blocks) == {block_id(a.header), block_id(b.header)}
    assert named.of_view[0] == first


def test_bad_input_is_noticed_boundedly_often_per_height() -> None:
    bench = Bench()
    bench.start()
    a = bench.block("A")
    stranger = bench.sign(bench.signed_proposal(a, 0).statement, bench.order[1])
    event = ProposalReceived(proposal=bench.verified(stranger), block=a, certificate=None)

    for _ in range(NOTICES_MAX + 10):
        bench.step(event)

    assert sum(isinstance(effect, Notice) for effect in bench.history) == NOTICES_MAX


def test_contradictions_are_reported_boundedly_often_per_height() -> None:
    bench = Bench()
    bench.start()
    liar = bench.others[0]
    desk = bench.engine._desk

    for view in range(CONTRADICTIONS_MAX + 10):
        votes = [bench.signed_vote(liar, PREPARE, view, bytes([each]) * 32) for each in (1, 2)]
        report_vote(votes[1], votes[0], desk)

    reports = [each for each in desk.effects if isinstance(each, ReportContradiction)]
    assert len(reports) == CONTRADICTIONS_MAX


def test_bodies_of_later_heights_are_remembered_the_newest_of_each_trainer() -> None:
    bench, later = Bench(), Later()
    header = bench.update(0).statement

    for height in range(2, 50):
        update = bench.verified(bench.sign(replace(header, height=height), 0))
        later.keep(UpdateHeld(update=update), 0, is_next=False)

    assert later.size() == HELD_PER_TRAINER
    assert len(later.take(49, lambda _: True)) == 1
    assert later.size() == 0

"""One engine through a whole height, and statements that contradict each other (P20-P37).

Every input is crafted, every effect is compared; test_rules_*.py do so step by step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from consensus.record import Step
from ledger.records import FRESH, NIL, Phase, block_id
from tests.support.consensus.bench import COMMIT, PREPARE, Bench, started


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One line of a scenario: in English, what happens, and what it leads to."""

    desc: str
    do: Callable[[], tuple[str, ...]]
    effects: tuple[str, ...]
    step: Step | None = None
    view: int | None = None


def play(bench: Bench, turns: list[Turn]) -> None:
    for turn in turns:
        assert turn.do() == turn.effects, turn.desc
        record = bench.engine._desk.record
        if turn.step is not None:
            assert record.step is turn.step, turn.desc
        if turn.view is not None:
            assert record.view == turn.view, turn.desc


def test_a_height_is_decided_in_three_steps() -> None:
    """Rules P22, P25, P28: PREPARE a good proposal, lock and COMMIT on a quorum, then decide."""
    bench = started()
    a = bench.block("A")
    one, two, three = bench.others

    play(
        bench,
        [
            Turn(
                desc="a proposal is checked before it is answered",
                do=lambda: bench.propose(a, 0),
                effects=("check A",),
                step=Step.PROPOSE,
            ),
            Turn(
                desc="it is good: the block is durable, then the vote leaves",
                do=lambda: bench.check(a),
                effects=("save A", "persist", "PREPARE 0 A"),
                step=Step.PREPARE,
            ),
            Turn(
                desc="one more PREPARE is no quorum",
                do=lambda: bench.vote(one, PREPARE, 0, block_id(a.header)),
                effects=(),
            ),
            Turn(
                desc="the third one is: lock and COMMIT, with the certificate",
                do=lambda: bench.vote(two, PREPARE, 0, block_id(a.header)),
                effects=("persist", "COMMIT 0 A", "certificate PREPARE 0 A"),
                step=Step.COMMIT,
            ),
            Turn(
                desc="two COMMITs are no quorum",
                do=lambda: bench.vote(one, COMMIT, 0, block_id(a.header)),
                effects=(),
            ),
            Turn(
                desc="three are: commit, publish the certificate, and begin the next height",
                do=lambda: bench.vote(three, COMMIT, 0, block_id(a.header)),
                effects=("commit A", "certificate COMMIT 0 A", "train 2"),
                step=Step.PROPOSE,
                view=0,
            ),
        ],
    )


@pytest.mark.parametrize(
    ("phase", "first", "second"),
    [
        (PREPARE, (NIL, FRESH), (bytes(32), FRESH)),
        (PREPARE, (bytes(32), FRESH), (bytes(32), 0)),
        (COMMIT, (bytes(32), FRESH), (bytes([1]) * 32, FRESH)),
    ],
    ids=["block", "valid view alone", "commit"],
)
def test_two_different_votes_are_reported_once_whatever_differs(
    phase: Phase, first: tuple[bytes, int], second: tuple[bytes, int]
) -> None:
    """Rule P34."""
    bench = started()
    liar = bench.others[0]

    lines = [bench.vote(liar, phase, 1, *first), bench.vote(liar, phase, 1, *second)]
    lines.append(bench.vote(liar, phase, 1, *second))

    assert lines == [(), (f"contradiction {liar}", f"EVIDENCE {liar}"), ()]


def test_two_haves_and_two_proposals_are_contradictions() -> None:
    """Rules P11 and P34."""
    bench = started()
    liar = bench.order[0]
    a, b = bench.block("A"), bench.block("B", is_other=True)

    bench.have(liar, (0, 1))
    haves = bench.have(liar, (0,))
    bench.propose(a, 0)
    proposals = bench.propose(b, 0)

    assert haves == (f"contradiction {liar}", f"EVIDENCE {liar}")
    assert proposals == (f"contradiction {liar}",)


def test_a_block_of_an_equivocating_proposer_is_kept_when_a_certificate_names_it() -> None:
    """Rules P33, P34: A came first, but the others decided B."""
    bench = started()
    a, b = bench.block("A"), bench.block("B", is_other=True)
    bench.propose_and_check(a)
    bench.certify(bench.certificate(COMMIT, 0, block_id(b.header)))

    lines = bench.propose(b, 0)

    assert "commit B" in lines


def test_a_certificate_keeps_its_quorum_though_a_vote_in_it_conflicts_with_one_recorded() -> None:
    """Rule P37: certificates are processed as a whole."""
    bench = started()
    a = bench.block("A")
    liar = bench.others[0]
    bench.propose_and_check(a)
    bench.vote(liar, PREPARE, 0, NIL)

    lines = bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))

    assert lines == (
        f"contradiction {liar}",
        f"EVIDENCE {liar}",
        "persist",
        "COMMIT 0 A",
        "certificate PREPARE 0 A",
    )

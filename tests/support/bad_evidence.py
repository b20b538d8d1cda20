"""Forged evidence, each piece of which exactly one check finds (rule P45)."""

from collections.abc import Callable
from dataclasses import replace

from ledger.evidence import EVIDENCE_WINDOW
from ledger.keys import Signed
from ledger.records import Block, DoubleUpdate, DoubleVote, Evidence, UpdateHeader, Vote
from tests.support.evidence import proof, signed, statements
from tests.support.ledger import Chain

Forge = Callable[[Chain], tuple[Evidence, ...]]
BAD_SIGNATURE = bytes(64)


def with_evidence(forge: Forge) -> Callable[[Chain], Block]:
    """A block that is right in everything but the evidence that it carries."""

    def forged(made: Chain) -> Block:
        # Made first: some forgeries let the chain grow before.
        evidence = forge(made)
        return made.build(evidence=evidence)

    return forged


def votes(made: Chain, *members: int, height: int, phase: str = "COMMIT") -> list[Signed[Vote]]:
    """Two different votes at one place, in the order of their bytes, by these members."""
    found = []
    for member, statement in zip(members, ordered_votes(phase, height), strict=True):
        vote = signed(made, member, statement)
        found.append(Signed(statement=statement, signer=member, signature=vote.signature))
    return found


def ordered_votes(phase: str, height: int) -> tuple[Vote, Vote]:
    one, other = statements(phase, 0, height)
    assert isinstance(one, Vote)
    assert isinstance(other, Vote)
    return (one, other) if one.block_id < other.block_id else (other, one)


def of_two_members(made: Chain) -> tuple[Evidence, ...]:
    first, second = votes(made, 1, 2, height=made.state.height)
    return (DoubleVote(first=first, second=second),)


def of_two_heights(made: Chain) -> tuple[Evidence, ...]:
    first, _ = votes(made, 1, 1, height=1)
    _, second = votes(made, 1, 1, height=2)
    return (DoubleVote(first=first, second=second),)


def of_two_phases(made: Chain) -> tuple[Evidence, ...]:
    first, _ = votes(made, 1, 1, height=2, phase="PREPARE")
    _, second = votes(made, 1, 1, height=2, phase="COMMIT")
    return (DoubleVote(first=first, second=second),)


def of_two_views(made: Chain) -> tuple[Evidence, ...]:
    first, second = votes(made, 1, 1, height=2)
    later = replace(first.statement, view=first.statement.view + 1)
    again = signed(made, 1, later)
    moved = Signed(statement=later, signer=1, signature=again.signature)
    return (DoubleVote(first=second, second=moved),)


def of_another_trainer(made: Chain) -> tuple[Evidence, ...]:
    found = []
    for statement in statements("UPDATE", 2, 2):
        assert isinstance(statement, UpdateHeader)
        signature = signed(made, 1, statement).signature
        found.append(Signed(statement=statement, signer=1, signature=signature))
    found.sort(key=lambda each: each.statement.update_id)
    return (DoubleUpdate(first=found[0], second=found[1]),)


def of_one_statement(made: Chain) -> tuple[Evidence, ...]:
    first, _ = votes(made, 1, 1, height=2)
    return (DoubleVote(first=first, second=first),)


def turned_round(made: Chain) -> tuple[Evidence, ...]:
    first, second = votes(made, 1, 1, height=2)
    return (DoubleVote(first=second, second=first),)


def half_signed(made: Chain, *, is_first: bool) -> tuple[Evidence, ...]:
    """One statement is true, the other was made up."""
    first, second = votes(made, 1, 1, height=2)
    if is_first:
        return (DoubleVote(first=replace(first, signature=BAD_SIGNATURE), second=second),)
    return (DoubleVote(first=first, second=replace(second, signature=BAD_SIGNATURE)),)


def too_old(made: Chain) -> tuple[Evidence, ...]:
    evidence = proof(made, 1, height=1)
    while made.state.height < EVIDENCE_WINDOW:
        made.add(made.build())
    return (evidence,)


def included_before(made: Chain) -> tuple[Evidence, ...]:
    made.add(made.build(evidence=(proof(made, 1, height=2),)))
    return (proof(made, 1, "PREPARE", height=2),)


def against_everybody(made: Chain) -> tuple[Evidence, ...]:
    return tuple(proof(made, each) for each in range(4))


BAD_EVIDENCE: tuple[tuple[int, str, Forge], ...] = (
    (32, "one member twice", lambda made: (proof(made, 1), proof(made, 1, "PREPARE"))),
    (32, "out of order", lambda made: (proof(made, 2), proof(made, 1))),
    (33, "votes of two members", of_two_members),
    (33, "votes of two heights", of_two_heights),
    (33, "votes of two phases", of_two_phases),
    (33, "votes of two views", of_two_views),
    (33, "headers of another trainer", of_another_trainer),
    (34, "one vote twice", of_one_statement),
    (34, "the larger bytes first", turned_round),
    (35, "a height to come", lambda made: (proof(made, 1, height=made.state.height + 2),)),
    (35, "a height long past", too_old),
    (35, "height 0", lambda made: (proof(made, 1, height=0),)),
    (36, "votes of a trainer", lambda made: (proof(made, 4),)),
    (36, "banned already", included_before),
    (37, "the first made up", lambda made: half_signed(made, is_first=True)),
    (37, "the second made up", lambda made: half_signed(made, is_first=False)),
    (38, "nobody left", against_everybody),
)

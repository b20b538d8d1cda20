"""The gate: who may say what, and that the parts of a message fit (rules P2, P3)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.effects import (
    BlocksReceived,
    BlocksRequested,
    EntryProofReceived,
    HaveReceived,
    Input,
    ProposalReceived,
    StatementsShown,
    StatusReceived,
    UpdateReceived,
    VoteReceived,
)
from consensus.messages import (
    BlocksMessage,
    BlocksRequest,
    BlocksRequestMessage,
    EntryProofMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    Statements,
    StatementsAnswer,
    StatementsMessage,
    Status,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
    statements_hash,
)
from consensus.verification import verify_message
from ledger.errors import DecodeError, SignatureError
from ledger.genesis import Role
from ledger.keys import Signed, sign
from ledger.records import NIL, Block, Vote
from tests.support.consensus.bench import COMMIT, NOTHING, PREPARE, Bench, equal_contract
from tests.support.ledger import STUB_SCHEME, digest, have, stub_chain, with_roles
from tests.support.members import rotate_key

TRAINER_ONLY = 4


def make_bench() -> Bench:
    """Five members; the last one trains and does not vote."""
    of = with_roles(equal_contract(5), {TRAINER_ONLY: Role.TRAINER})
    return Bench(chain=stub_chain(2, of=of), leads=0)


def verified(bench: Bench, message: Message) -> Input:
    return verify_message(message, contract=bench.contract, state=bench.state, scheme=STUB_SCHEME)


def proposal(bench: Bench, block: Block) -> ProposalMessage:
    return ProposalMessage(proposal=bench.signed_proposal(block, 0), block=block, certificate=())


def vote(bench: Bench, member: int) -> VoteMessage:
    return VoteMessage(vote=bench.signed_vote(member, COMMIT, 0, NIL), reason="")


def status(bench: Bench, member: int) -> StatusMessage:
    statement = Status(height=2, block_id=digest("tip"), sequence=1)
    return StatusMessage(status=bench.sign(statement, member))


def haves(bench: Bench, member: int) -> HaveMessage:
    return HaveMessage(have=have(bench.state, member, bench.keys[member], []))


def entry_proof(bench: Bench, *members: int) -> EntryProofMessage:
    votes = tuple(bench.signed_vote(member, COMMIT, 0, NIL) for member in members)
    return EntryProofMessage(height=bench.height, view=1, votes=votes)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda b: vote(b, 1), VoteReceived),
        (lambda b: haves(b, 1), HaveReceived),
        (lambda b: status(b, TRAINER_ONLY), StatusReceived),
        (lambda b: UpdateMessage(update=b.update(TRAINER_ONLY)), UpdateReceived),
        (lambda b: proposal(b, b.block("A")), ProposalReceived),
        (lambda b: entry_proof(b, 0, 1, 2), EntryProofReceived),
        (
            lambda b: BlocksMessage(
                blocks=tuple(b.chain.blocks), certificate=b.chain.certificates[-1]
            ),
            BlocksReceived,
        ),
    ],
    ids=["vote", "have", "status", "update", "proposal", "entry proof", "blocks"],
)
def test_good_messages_become_inputs(make: Callable[[Bench], Message], kind: type[Input]) -> None:
    bench = make_bench()

    assert isinstance(verified(bench, make(bench)), kind)


@pytest.mark.parametrize(
    "make",
    [
        lambda b: replace(vote(b, 1), vote=replace(vote(b, 1).vote, signer=2)),
        lambda b: replace(vote(b, 1), vote=replace(vote(b, 1).vote, signer=5)),
        lambda b: vote(b, TRAINER_ONLY),
        lambda b: haves(b, TRAINER_ONLY),
        lambda b: entry_proof(b, 0, TRAINER_ONLY),
        lambda b: UpdateMessage(update=b.sign(b.update(1).statement, 2)),
    ],
    ids=[
        "other member's key",
        "no member",
        "vote of a trainer",
        "HAVE of a trainer",
        "a trainer's vote among others",
        "header of another trainer",
    ],
)
def test_who_may_not_say_it_or_did_not_sign_it_is_refused(
    make: Callable[[Bench], Message],
) -> None:
    """Rule P3: membership and role before the signature, the signature before anything else."""
    bench = make_bench()

    with pytest.raises(SignatureError):
        verified(bench, make(bench))


def test_a_statement_of_another_chain_is_refused() -> None:
    bench = make_bench()
    message = vote(bench, 1)
    other = replace(bench.state, chain_id=digest("other"))

    with pytest.raises(SignatureError):
        verify_message(message, contract=bench.contract, state=other, scheme=STUB_SCHEME)


def test_a_proposal_with_another_block_is_refused() -> None:
    bench = make_bench()
    a, b = bench.block("A"), bench.block("B", is_other=True)

    with pytest.raises(DecodeError, match=r"not the one it names"):
        verified(bench, replace(proposal(bench, a), block=b))


@pytest.mark.parametrize("part", ["haves", "updates", "last_certificate"])
def test_a_block_whose_lists_were_swapped_is_refused_at_the_gate(part: str) -> None:
    """Otherwise whoever passes an honest block on could make it look invalid to the others."""
    bench = make_bench()
    a = bench.block("A")
    swapped = replace(a, **{part: getattr(a, part)[:-1]})

    with pytest.raises(DecodeError, match=r"its lists are not its header's"):
        verified(bench, proposal(bench, swapped))
    with pytest.raises(DecodeError, match=r"its lists are not its header's"):
        verified(bench, BlocksMessage(blocks=(swapped,), certificate=bench.chain.certificates[0]))


def test_a_proposal_for_a_block_of_another_height_is_refused() -> None:
    bench = make_bench()
    a = bench.block("A")
    other = bench.sign(replace(bench.signed_proposal(a, 0).statement, height=9), bench.order[0])

    with pytest.raises(DecodeError, match=r"height 9 with a block of height 3"):
        verified(bench, replace(proposal(bench, a), proposal=other))


def test_an_entry_proof_with_votes_of_another_height_is_refused() -> None:
    bench = make_bench()

    with pytest.raises(DecodeError, match=r"votes of another height"):
        verified(bench, replace(entry_proof(bench, 0, 1), height=7))


@pytest.mark.parametrize("heights", [(), (0, 0), (1, 0)])
def test_blocks_must_be_consecutive(heights: tuple[int, ...]) -> None:
    bench = make_bench()
    blocks = tuple(bench.chain.blocks[each] for each in heights)

    with pytest.raises(DecodeError, match=r"consecutive heights"):
        verified(bench, BlocksMessage(blocks=blocks, certificate=bench.chain.certificates[-1]))


def answer_about(bench: Bench, asker: int, shown: Statements) -> StatementsMessage:
    statement = StatementsAnswer(
        asker=asker, counter=1, height=bench.height, statements_hash=statements_hash(shown)
    )
    return StatementsMessage(answer=bench.sign(statement, 0), statements=shown)


def votes_shown(bench: Bench, asker: int, *votes: Signed[Vote]) -> tuple[Signed[Vote], ...]:
    found = verified(bench, answer_about(bench, asker, replace(NOTHING, votes=votes)))
    assert isinstance(found, StatementsShown)
    return found.statements.votes


def test_who_may_not_vote_any_more_is_told_what_it_signed_all_the_same() -> None:
    """Rule P60: what the own key signed binds the record, whatever the role is now."""
    bench = make_bench()
    vote = bench.signed_vote(TRAINER_ONLY, COMMIT, 0, NIL)
    update = bench.update(TRAINER_ONLY)
    shown = replace(NOTHING, votes=(vote,), updates=(update,))

    found = verified(bench, answer_about(bench, TRAINER_ONLY, shown))

    assert isinstance(found, StatementsShown)
    assert found.statements == shown


def test_a_shown_statement_that_nobody_signed_does_not_hide_the_others() -> None:
    """Rule P60."""
    bench = make_bench()
    good = bench.signed_vote(1, COMMIT, 0, NIL)
    forged = replace(bench.signed_vote(1, PREPARE, 0, NIL), signature=bytes(64))

    assert votes_shown(bench, 1, forged, good) == (good,)


def test_statements_of_a_member_that_there_is_not_are_passed_over() -> None:
    bench = make_bench()
    foreign = replace(bench.signed_vote(1, COMMIT, 0, NIL), signer=99)

    assert votes_shown(bench, 99, foreign) == ()


def test_who_asks_for_blocks_with_a_key_that_was_replaced_meanwhile_is_heard() -> None:
    """Rules P80, P81: only the blocks can tell it so."""
    made = stub_chain(2, of=equal_contract())
    old = made.keys[1]
    rotate_key(made, 1, "next")
    statement = BlocksRequest(responder=0, from_height=1, counter=1)
    chain_id = made.state.chain_id
    asked = [sign(statement, key, signer=1, chain_id=chain_id) for key in (old, made.keys[1])]
    foreign = sign(statement, made.keys[2], signer=1, chain_id=chain_id)

    def gated(request: Signed[BlocksRequest]) -> Input:
        return verify_message(
            BlocksRequestMessage(request=request),
            contract=made.in_force,
            state=made.state,
            scheme=STUB_SCHEME,
        )

    assert [type(gated(each)) for each in asked] == [BlocksRequested] * 2
    with pytest.raises(SignatureError):
        gated(foreign)

"""Rule P45: what convicts a member, what never does, and what a conviction leads to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import decode, encode, encode_as
from ledger.errors import DecodeError
from ledger.evidence import (
    EVIDENCE_WINDOW,
    banned_after,
    content_problem,
    evidence_key,
    evidence_root,
    evidence_text,
    height_problem,
    make_evidence,
    place_problem,
    role_problem,
)
from ledger.inclusion import disqualification, opens_for_training
from ledger.keys import SecretKey, Signed, sign
from ledger.merkle import EMPTY_ROOT
from ledger.records import (
    EVIDENCE_MAX,
    FRESH,
    NIL,
    Block,
    BlockKind,
    DoubleVote,
    HaveEntry,
    HaveList,
    Phase,
    Vote,
)
from ledger.state import State, apply, state_root
from ledger.validity import check_block
from tests.support.evidence import KINDS, Said, proof, signed, statements
from tests.support.ledger import STUB_SCHEME, Chain, contract, digest, stub_chain, update

ACCUSED = 1


def grown(n: int = 4, *, byzantine_budget: int | None = None) -> Chain:
    return stub_chain(3, of=contract(n, byzantine_budget=byzantine_budget))


def findings(made: Chain, block: Block) -> list[str]:
    found = check_block(made.contract, made.state, block, scheme=STUB_SCHEME)
    return [each.text for each in found]


@pytest.mark.parametrize("kind", KINDS)
def test_two_statements_at_one_place_ban_their_author(kind: str) -> None:
    made = grown()
    evidence = proof(made, ACCUSED, kind)
    block = made.build(evidence=(evidence,))

    assert findings(made, block) == []
    made.add(block)

    assert evidence_key(evidence)[:3] == (ACCUSED, kind, 4)
    assert f"two different {kind} statements of height 4" in evidence_text(evidence)
    assert made.state.banned == (ACCUSED,)
    assert made.state.validators.members == (0, 2, 3)
    assert made.state.previous_validators.members == (0, 1, 2, 3)


def test_the_chain_goes_on_without_the_banned_member() -> None:
    """The certificate of the height of the ban still follows the set of that height (P51)."""
    made = grown()
    made.add(made.build(evidence=(proof(made, ACCUSED),)))

    for _ in range(3):
        block = made.build()
        assert findings(made, block) == []
        made.add(block)

    assert [each.trainer for each in made.blocks[-1].header.results.contributions] == [0, 2, 3]
    assert made.state.banned == (ACCUSED,)


def test_the_cap_follows_the_number_of_those_who_are_left() -> None:
    """Rule P41: of seven two may lie; of the six that are left one, of three nobody."""
    made = grown(7)
    powers = [made.state.validators]
    for member in (1, 2):
        made.add(made.build(evidence=(proof(made, member),)))
        powers.append(made.state.validators)

    assert [len(each.members) for each in powers] == [7, 6, 5]
    for left in powers[1:]:
        assert 3 * max(each.power for each in left.validators) < left.total
    four = grown(4)
    four.add(four.build(evidence=(proof(four, ACCUSED),)))
    assert {each.power for each in four.state.validators.validators} == {1}


def test_scores_of_a_banned_member_do_not_move_any_more() -> None:
    made = grown()
    block = made.build(evidence=(proof(made, ACCUSED),), outliers=[0])
    before = made.state.scores[ACCUSED]

    made.add(block)
    made.add(made.build())

    assert made.state.scores[ACCUSED] == before
    assert made.state.scores[0] != made.states[3].scores[0]


def test_evidence_in_the_block_keeps_out_the_update_that_is_vouched_for() -> None:
    """Rule P12a: a filter; the header is carried all the same."""
    made = grown(7)
    block = made.build(evidence=(proof(made, ACCUSED),))

    assert ACCUSED in [each.statement.trainer for each in block.updates]
    assert ACCUSED not in [each.trainer for each in block.header.results.contributions]
    assert findings(made, block) == []


def test_a_banned_members_update_does_not_count_and_enough_trainers_must_be_left() -> None:
    """Rules P12a and P15."""
    made = grown()
    made.add(made.build(evidence=(proof(made, ACCUSED),)))
    header = update(made.contract, made.state, ACCUSED, made.keys[ACCUSED]).statement

    assert disqualification(made.contract, made.state, header) == "member 1 is banned"
    assert opens_for_training(made.contract, made.state)
    assert not opens_for_training(made.contract, replace(made.state, banned=(0, 1)))


def test_an_empty_block_of_a_late_view_may_carry_evidence() -> None:
    made = grown()
    block = made.build(view=4, evidence=(proof(made, ACCUSED),))

    assert block.header.kind is BlockKind.EMPTY
    assert findings(made, block) == []


def test_bans_are_part_of_the_state_and_evidence_of_the_block() -> None:
    made = grown()
    evidence = proof(made, ACCUSED)
    block, plain = made.build(evidence=(evidence,)), made.build()

    assert block.header.evidence_root == evidence_root((evidence,)) != EMPTY_ROOT
    assert plain.header.evidence_root == EMPTY_ROOT
    after = apply(made.contract, made.state, block)
    assert state_root(after) != state_root(replace(after, banned=()))
    assert decode(State, encode(after)) == after
    assert decode(Block, encode(block)) == block


def test_a_block_carries_a_bounded_number() -> None:
    """Rule P37."""
    made = grown(10)
    block = made.build(evidence=tuple(proof(made, each) for each in range(EVIDENCE_MAX)))
    more = replace(block, evidence=(*block.evidence, proof(made, EVIDENCE_MAX)))

    assert decode(Block, encode(block)) == block
    with pytest.raises(DecodeError, match=f"at most {EVIDENCE_MAX} items"):
        encode(more)


def test_evidence_has_one_form_whoever_finds_it() -> None:
    made = grown()
    for kind in KINDS:
        one, other = (signed(made, ACCUSED, each) for each in statements(kind, ACCUSED, 2))
        found = make_evidence(one, other)
        assert found == make_evidence(other, one)
        assert content_problem(found) is place_problem(found) is None


def test_statements_of_two_kinds_are_no_evidence() -> None:
    made = grown()
    vote, have = (signed(made, ACCUSED, statements(kind, 1, 2)[0]) for kind in ("COMMIT", "HAVE"))

    with pytest.raises(DecodeError, match="of one kind"):
        make_evidence(vote, have)


def test_a_variant_under_the_number_of_another_is_not_read() -> None:
    """Rule P2: the kind says which record follows."""
    made = grown()
    block = made.build(evidence=(proof(made, ACCUSED),))
    data = encode(block)
    own = encode_as(DoubleVote, block.evidence[0])
    at = data.index(own)
    for kind in (0, 16, 17, 18, 20):
        forged = data[: at + 1] + bytes([kind]) + data[at + 2 :]
        with pytest.raises(DecodeError):
            decode(Block, forged)
    assert own[1] == DoubleVote.KIND


# --- what never convicts ------------------------------------------------------------------------

HONEST = SecretKey(digest("an honest member"))
CHAIN = digest("chain")


def honest(statement: Said) -> Signed[Said]:
    return sign(statement, HONEST, signer=ACCUSED, chain_id=CHAIN)


def vote(phase: Phase, height: int, view: int, block: bytes) -> Vote:
    return Vote(phase=phase, height=height, view=view, valid_view=FRESH, block_id=block)


votes = st.builds(
    vote,
    st.sampled_from(list(Phase)),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([NIL, digest("a"), digest("b")]),
)


@given(st.lists(votes, max_size=30))
def test_no_pair_of_votes_that_an_honest_member_signed_is_evidence(said: list[Vote]) -> None:
    """An honest member signs at each place what came first there (rule P60)."""
    slots: dict[tuple[Phase, int, int], Signed[Said]] = {}
    for each in said:
        slots.setdefault((each.phase, each.height, each.view), honest(each))
    kept = list(slots.values())

    for one in kept:
        for other in kept:
            evidence = make_evidence(one, other)
            assert place_problem(evidence) or content_problem(evidence)


def test_nil_votes_with_different_reasons_are_one_statement() -> None:
    """Reasons are not signed, so that they cannot accuse."""
    made = grown()
    nil = signed(made, ACCUSED, vote(Phase.PREPARE, 4, 0, NIL))
    block = made.build(evidence=(make_evidence(nil, nil),))

    assert findings(made, block) == ["expected two different statements, got one twice"]


def test_one_statement_with_two_signatures_is_no_evidence() -> None:
    """A second signature over the same bytes says nothing new."""
    one = honest(vote(Phase.COMMIT, 4, 0, NIL))
    evidence = make_evidence(one, replace(one, signature=bytes(64)))

    assert content_problem(evidence) == "expected two different statements, got one twice"


def test_updates_and_haves_of_different_heights_are_no_evidence() -> None:
    """An unused update is offered again at the next height under a new header (rule P10)."""
    made = grown()
    for kind in ("UPDATE", "HAVE"):
        one, other = (signed(made, ACCUSED, statements(kind, ACCUSED, h)[0]) for h in (3, 4))
        assert "one place" in str(place_problem(make_evidence(one, other)))


@pytest.mark.parametrize(
    ("stated", "height", "is_right"),
    [
        (5, 5, True),
        (6, 5, False),
        (0, 5, False),
        (1, EVIDENCE_WINDOW, True),
        (1, EVIDENCE_WINDOW + 1, False),
        (2, EVIDENCE_WINDOW + 1, True),
    ],
)
def test_evidence_counts_for_a_window_of_heights(
    stated: int,
    height: int,
    *,
    is_right: bool,
) -> None:
    evidence = proof(grown(), ACCUSED, height=stated)

    assert (height_problem(evidence, height) is None) == is_right


def test_strangers_and_those_without_the_role_cannot_be_convicted() -> None:
    made = grown()
    stranger = replace(proof(made, ACCUSED).first, signer=9)
    evidence = make_evidence(stranger, stranger)

    assert role_problem(made.contract, (), evidence) == "member 9 is unknown"
    assert banned_after(made.contract, (), (evidence,)) == ()


def test_a_list_of_more_updates_than_there_are_members_contradicts_nothing() -> None:
    """Nobody counts such a list (rule P11), and evidence has a bounded size."""
    made = grown()
    entries = tuple(HaveEntry(trainer=each, header_digest=bytes(32)) for each in range(5))
    lists = [HaveList(height=1, entries=entries[:count]) for count in (1, 4, 5)]
    one, whole, longer = (signed(made, ACCUSED, each) for each in lists)

    assert role_problem(made.contract, (), make_evidence(one, whole)) is None
    for other in (one, whole):
        problem = role_problem(made.contract, (), make_evidence(other, longer))
        assert problem == "a HAVE list of 5 updates, and there are 4 members"


def test_a_block_against_all_validators_bans_nobody() -> None:
    """`apply` is total, and there is always somebody to decide the next block."""
    made = grown()
    everybody = tuple(proof(made, each) for each in range(4))

    assert banned_after(made.contract, (), everybody) == ()
    assert banned_after(made.contract, (), everybody[:3]) == (0, 1, 2)
    assert len(apply(made.contract, made.state, made.build(evidence=everybody)).validators.members)

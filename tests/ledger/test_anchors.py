"""A header is believed from the genesis alone, or refused (rule P55)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from ledger.anchors import Anchor, CertifiedHeader, check_anchor, make_anchor
from ledger.certificates import make_certificate
from ledger.encoding import decode, encode, pack
from ledger.errors import DecodeError
from ledger.genesis import Role
from ledger.keys import SecretKey, sign
from ledger.merkle import EMPTY_RANGE, ProofError, root
from ledger.powers import Validator, ValidatorSet, validators_hash
from ledger.records import FRESH, Phase, QuorumCertificate, Vote, block_id
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    chain,
    contract,
    empty_chain,
    keys,
    stub_chain,
    stub_keys,
    with_roles,
)

LENGTH = 6


def anchor_of(made: Chain, height: int | None = None) -> Anchor:
    at = len(made.blocks) if height is None else height
    return make_anchor(made.contract, made.blocks, made.certificate, at)


def heights_of(anchor: Anchor) -> list[int]:
    return [step.header.height for step in anchor.steps]


def forged_step(
    step: CertifiedHeader, signing: dict[int, SecretKey], powers: dict[int, int], **changes: object
) -> CertifiedHeader:
    """The step with a forged header and validators, signed by whoever holds a key."""
    validators = ValidatorSet(
        validators=tuple(Validator(member=i, power=power) for i, power in powers.items())
    )
    known = {i: key.public_key for i, key in enumerate(keys(10))}
    known |= {i: key.public_key for i, key in signing.items()}
    own = {i: known[i] for i in powers}
    named = {"validators_hash": validators_hash(validators, own), **changes}
    header = replace(step.header, **named)  # type: ignore[arg-type]
    vote = Vote(
        phase=Phase.COMMIT,
        height=header.height,
        view=header.created_view,
        valid_view=FRESH,
        block_id=block_id(header),
    )
    votes = [sign(vote, key, signer=i, chain_id=header.chain_id) for i, key in signing.items()]
    return CertifiedHeader(
        header=header,
        validators=validators,
        public_keys=tuple(own.values()),
        certificate=make_certificate(votes, validators),
    )


@pytest.fixture(scope="module")
def made() -> Chain:
    return chain(LENGTH)


@pytest.mark.parametrize("height", range(1, LENGTH + 1))
def test_every_height_can_be_believed_from_the_genesis(made: Chain, height: int) -> None:
    anchored = check_anchor(made.contract, anchor_of(made, height))

    assert anchored.header == made.blocks[height - 1].header
    assert anchored.root == root([block_id(each.header) for each in made.blocks[:height]])
    assert anchored.signers == (0, 1, 2, 3)
    assert anchored.power == anchored.total_power == made.states[height - 1].validators.total


def test_one_step_is_enough_while_the_same_members_vote(made: Chain) -> None:
    assert heights_of(anchor_of(made)) == [LENGTH]


def test_steps_are_added_where_too_few_of_those_before_signed() -> None:
    """Three of ten fall silent and lose power, then a fourth: six of ten decide the last block."""
    terms = contract(10, byzantine_budget=1)
    made = empty_chain(terms, stub_keys(terms))
    for height in range(1, 56):
        made.add(made.build(), signing=range(7 if height <= 50 else 6))

    anchor = anchor_of(made)

    heights = heights_of(anchor)
    anchored = check_anchor(terms, anchor, scheme=STUB_SCHEME)
    assert anchored.signers == (0, 1, 2, 3, 4, 5)
    assert 1 < len(heights) < 10
    with pytest.raises(ProofError, match="by no quorum of the validators of height 1"):
        check_anchor(terms, replace(anchor, steps=anchor.steps[-1:]), scheme=STUB_SCHEME)


def test_neighbours_are_believed_by_the_hash_of_the_next_validators() -> None:
    made = stub_chain(3)
    certified = [
        make_anchor(made.contract, made.blocks[:h], made.certificates[h - 1], h).steps[-1]
        for h in (1, 2, 3)
    ]

    anchor = Anchor(steps=tuple(certified), log=made.state.log)

    assert check_anchor(made.contract, anchor, scheme=STUB_SCHEME).header.height == 3


def test_validators_without_role_sign_nothing_and_are_not_needed() -> None:
    terms = with_roles(contract(5), {1: Role.TRAINER})
    made = stub_chain(4, of=terms)

    anchored = check_anchor(terms, anchor_of(made), scheme=STUB_SCHEME)

    assert anchored.signers == (0, 2, 3, 4)


Forge = Callable[[Chain, Anchor], Anchor]


def with_last(anchor: Anchor, **changes: object) -> Anchor:
    step = replace(anchor.steps[-1], **changes)  # type: ignore[arg-type]
    return replace(anchor, steps=(*anchor.steps[:-1], step))


def with_certificate(anchor: Anchor, **changes: object) -> Anchor:
    certificate = replace(anchor.steps[-1].certificate, **changes)  # type: ignore[arg-type]
    return with_last(anchor, certificate=certificate)


def with_forged(anchor: Anchor, members: Sequence[int], **changes: object) -> Anchor:
    """A step that these members make up: they give themselves all the power."""
    signing = keys(4)
    held = {i: signing[i] for i in members}
    step = forged_step(anchor.steps[-1], held, dict.fromkeys(members, 1), **changes)
    return replace(anchor, steps=(*anchor.steps[:-1], step))


def of_prepares(made: Chain) -> QuorumCertificate:
    state, header = made.states[-2], made.blocks[-1].header
    vote = Vote(
        phase=Phase.PREPARE,
        height=header.height,
        view=0,
        valid_view=FRESH,
        block_id=block_id(header),
    )
    held = enumerate(made.keys)
    return make_certificate(
        [sign(vote, key, signer=i, chain_id=header.chain_id) for i, key in held], state.validators
    )


def under_quorum(made: Chain) -> QuorumCertificate:
    certificate = made.certificates[-1]
    return replace(certificate, bitmap=b"\x03", signatures=certificate.signatures[:2])


FORGERIES: dict[str, tuple[Forge, str]] = {
    "no steps": (lambda _, a: replace(a, steps=()), "expected at least one certified header"),
    "twice the same height": (
        lambda _, a: replace(a, steps=(*a.steps, *a.steps)),
        "expected a header above height 6",
    ),
    "a stranger's log": (
        lambda _, a: replace(a, log=EMPTY_RANGE),
        "the log is not the one of its header",
    ),
    "a log of equal size": (
        lambda _, a: replace(a, log=replace(a.log, hashes=a.log.hashes[::-1])),
        "the log is not the one of its header",
    ),
    "other validators": (
        lambda m, a: with_last(a, validators=m.states[0].validators),
        "the validators are not those that the header names",
    ),
    "another header": (
        lambda _, a: with_last(a, header=replace(a.steps[-1].header, time_ms=1)),
        "the certificate is not one of COMMITs for this block",
    ),
    "a certificate of PREPAREs": (
        lambda m, a: with_last(a, certificate=of_prepares(m)),
        "the certificate is not one of COMMITs for this block",
    ),
    "too few signatures": (
        lambda m, a: with_last(a, certificate=under_quorum(m)),
        "is no quorum",
    ),
    "a wrong signature": (
        lambda _, a: with_certificate(
            a, signatures=(bytes(64), *a.steps[-1].certificate.signatures[1:])
        ),
        "the signature is not that of member 0",
    ),
    "a bit that names nobody": (
        lambda _, a: with_certificate(
            a, bitmap=b"\x1f", signatures=(*a.steps[-1].certificate.signatures, bytes(64))
        ),
        "names none of 4 validators",
    ),
    "two members that give themselves all power": (
        lambda _, a: with_forged(a, (0, 1)),
        "signed by no quorum of the validators of height 1",
    ),
    "two members that give themselves all power at height 1": (
        lambda _, a: with_forged(a, (0, 1), height=1),
        "other validators than the step before names",
    ),
    "a block of another chain": (
        lambda _, a: with_forged(a, (0, 1, 2), chain_id=bytes(32)),
        "a header of another chain than the genesis",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_anchor_is_refused(made: Chain, name: str) -> None:
    forge, text = FORGERIES[name]

    with pytest.raises(ProofError, match=text):
        check_anchor(made.contract, forge(made, anchor_of(made)))


def test_a_validator_whom_nobody_trusted_admitted_is_refused(made: Chain) -> None:
    """It brings its own key, as members do that joined later (rule P81)."""
    strangers = {4: SecretKey(bytes(32))}
    step = forged_step(anchor_of(made).steps[-1], strangers, {4: 1})

    with pytest.raises(ProofError, match="signed by no quorum of the validators of height 1"):
        check_anchor(made.contract, Anchor(steps=(step,), log=made.state.log))


def test_a_certificate_of_a_view_before_the_block_is_refused() -> None:
    made = empty_chain(contract(4), keys(4))
    block = made.build(view=1)
    made.add(block, view=0)

    with pytest.raises(ProofError, match="of a view before the block was created"):
        check_anchor(made.contract, anchor_of(made))


def test_keys_of_more_than_two_thirds_can_forge_and_no_fewer_can(made: Chain) -> None:
    """What the anchor rests on, as the module's text says."""
    anchor = anchor_of(made)

    three = with_forged(anchor, (0, 1, 2))
    assert check_anchor(made.contract, three).total_power == 3
    with pytest.raises(ProofError, match="signed by no quorum"):
        check_anchor(made.contract, with_forged(anchor, (0, 1)))


def test_no_forged_power_helps_those_that_are_a_third(made: Chain) -> None:
    for members in ((0,), (3,), (0, 3), (1, 2)):
        with pytest.raises(ProofError, match="signed by no quorum"):
            check_anchor(made.contract, with_forged(anchor_of(made), members))


@pytest.mark.parametrize("count", [-1, 1])
def test_a_step_has_one_key_for_each_validator(count: int) -> None:
    """Rules P2, P55: keys are matched to validators by their order alone."""
    step = anchor_of(stub_chain(2)).steps[-1]
    forged = (step.public_keys * 2)[: len(step.public_keys) + count]

    with pytest.raises(DecodeError, match=f"expected 4 keys of validators, got {4 + count}"):
        decode(CertifiedHeader, encode(step).replace(*packed_keys(step, forged)))


def packed_keys(step: CertifiedHeader, forged: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The canonical bytes of a step's keys and of others."""
    return pack(tuple(step.public_keys)), pack(tuple(forged))

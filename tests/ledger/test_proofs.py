"""One member's update, proven to be in a decided block (rule P55)."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.anchors import Anchor, check_anchor, make_anchor
from ledger.checkpoint import Checkpoint, make_checkpoint
from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.keys import sign
from ledger.merkle import ProofError, prove_inclusion, root
from ledger.proofs import Chain, KnownLog, UpdateProof, check_update_proof, prove_update
from ledger.records import SignedUpdate, block_id, updates_root
from tests.support.ledger import Chain as Grown
from tests.support.ledger import chain, contract, empty_chain, keys
from tests.support.memo import MemoScheme

LENGTH = 5


@pytest.fixture(scope="module")
def made() -> Grown:
    """Height 2 has an outlier, height 4 is EMPTY, member 3 sends nothing at height 3."""
    grown = empty_chain(contract(4), keys(4))
    grown.add(grown.build())
    grown.add(grown.build(outliers=(1,)))
    grown.add(grown.build(trainers=(0, 1, 2)))
    grown.add(grown.build(view=5))
    grown.add(grown.build())
    return grown


def ledger_of(made: Grown) -> Chain:
    return Chain(contract=made.contract, blocks=made.blocks, certificate=made.certificate)


def proof_of(
    made: Grown, height: int = 2, member: int = 1, known: Checkpoint | None = None
) -> UpdateProof:
    return prove_update(ledger_of(made), height=height, member=member, known=known)


def checkpoint_of(made: Grown, height: int) -> Checkpoint:
    anchor = make_anchor(made.contract, made.blocks, made.certificate, height)
    return make_checkpoint(check_anchor(made.contract, anchor), anchor)


@pytest.mark.parametrize("height", [1, 2, 5])
def test_every_counted_update_can_be_proven(made: Grown, height: int) -> None:
    block = made.blocks[height - 1]
    for each in block.header.results.contributions:
        proof = decode(UpdateProof, encode(proof_of(made, height, each.trainer)))

        proven = check_update_proof(made.contract, proof)

        assert proven.header == block.header
        assert proven.update in block.updates
        assert proven.update.signer == each.trainer
        assert (proven.weight, proven.is_outlier) == (each.weight, bool(each.flagged))
        assert proven.anchored.header == made.blocks[-1].header


@pytest.mark.parametrize(
    ("height", "member", "text"),
    [
        (3, 3, "block 3 counted no update of member 3, but of 0, 1, 2"),
        (4, 0, "block 4 counted no update of member 0, but of nobody"),
        (2, 9, "block 2 counted no update of member 9"),
        (6, 0, "expected a height from 1 to 5, got 6"),
        (0, 0, "expected a height from 1 to 5, got 0"),
    ],
)
def test_what_did_not_happen_is_not_proven(
    made: Grown, height: int, member: int, text: str
) -> None:
    with pytest.raises(ProofError, match=text):
        proof_of(made, height, member)


def test_every_flipped_bit_of_a_proof_is_found(made: Grown, seed: int) -> None:
    data = encode(proof_of(made, known=checkpoint_of(made, 3)))
    scheme, rng = MemoScheme(), random.Random(seed)
    check_update_proof(made.contract, decode(UpdateProof, data), scheme=scheme)
    bits = rng.sample(range(8 * len(data)), 2_000)

    passed = []
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            check_update_proof(made.contract, decode(UpdateProof, bytes(flipped)), scheme=scheme)
        except (DecodeError, ProofError):
            continue
        passed.append(bit)

    assert passed == []


Forge = Callable[[Grown, UpdateProof], UpdateProof]


def raised_weight(_: Grown, proof: UpdateProof) -> UpdateProof:
    results = proof.header.results
    contributions = tuple(replace(each, weight=1_000_000) for each in results.contributions)
    header = replace(proof.header, results=replace(results, contributions=contributions))
    return replace(proof, header=header)


def invented_update(made: Grown, proof: UpdateProof) -> UpdateProof:
    """The member signs another update for the same height, and swaps it in."""
    statement = replace(proof.update.statement, update_id=bytes(32))
    update = sign(statement, made.keys[1], signer=1, chain_id=proof.header.chain_id)
    updates = tuple(update if each == proof.update else each for each in proof.updates)
    return replace(proof, update=update, updates=updates)


def invented_block(made: Grown, proof: UpdateProof) -> UpdateProof:
    """A block that nobody decided, with a path made for it."""
    forged = invented_update(made, proof)
    header = replace(proof.header, updates_root=updates_root(forged.updates))
    ids = [block_id(each.header) for each in made.blocks]
    ids[1] = block_id(header)
    return replace(forged, header=header, log_path=prove_inclusion(ids, 1))


FORGERIES: dict[str, tuple[Forge, str]] = {
    "a raised weight": (raised_weight, "leads to another root"),
    "an update that was not sent": (
        invented_update,
        "the updates are not those of the proven block",
    ),
    "an update left out": (
        lambda _, p: replace(p, updates=p.updates[:-1]),
        "the updates are not those of the proven block",
    ),
    "an update twice": (
        lambda _, p: replace(p, updates=(*p.updates, p.updates[-1])),
        "the updates are not those of the proven block",
    ),
    "a block that was not decided": (invented_block, "leads to another root"),
    "the block at another height": (
        lambda _, p: replace(p, header=replace(p.header, height=3)),
        "leads to another root",
    ),
    "the block above the anchor": (
        lambda _, p: replace(p, header=replace(p.header, height=6)),
        "expected a place in a list of 5, got 5",
    ),
    "height 0": (
        lambda _, p: replace(p, header=replace(p.header, height=0)),
        "expected a place in a list of 5, got -1",
    ),
    "another chain": (
        lambda _, p: replace(p, header=replace(p.header, chain_id=bytes(32))),
        "of another chain",
    ),
    "another member's update": (
        lambda m, p: replace(p, update=replace(m.blocks[1].updates[0], signer=1)),
        "does not carry this update",
    ),
    "an update of another block": (
        lambda m, p: replace(p, update=m.blocks[0].updates[1]),
        "does not carry this update",
    ),
    "a log that it does not continue": (
        lambda _, p: replace(p, known=(KnownLog(size=3, root=bytes(32), path=()),)),
        "expected hashes after the 3 leaves",
    ),
    "an anchor of another chain": (
        lambda _, p: replace(p, anchor=other_anchor()),
        "a header of another chain than the genesis",
    ),
    "no anchor": (lambda _, p: replace(p, anchor=replace(p.anchor, steps=())), "at least one"),
}


def other_anchor() -> Anchor:
    other = chain(5, seed=8)
    return make_anchor(other.contract, other.blocks, other.certificate, 5)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_proof_is_refused(made: Grown, name: str) -> None:
    forge, text = FORGERIES[name]
    proof = proof_of(made)

    with pytest.raises(ProofError, match=text):
        check_update_proof(made.contract, forge(made, proof))


def forged_block_proof(made: Grown, update: SignedUpdate) -> UpdateProof:
    """All validators certify a block, against the rules, that carries this update."""
    grown = empty_chain(made.contract, made.keys)
    grown.add(grown.build())
    block = grown.build()
    updates = tuple(update if each.statement.trainer == 1 else each for each in block.updates)
    header = replace(block.header, updates_root=updates_root(updates))
    grown.add(replace(block, header=header, updates=updates))
    return replace(proof_of(grown), update=update)


def test_a_quorum_that_certifies_a_forged_signature_is_not_believed(made: Grown) -> None:
    """The member's own signature is checked, whatever the validators say."""
    good = proof_of(made).update
    unsigned = forged_block_proof(made, replace(good, signature=bytes(64)))
    statement = replace(good.statement, height=7)
    chain = made.blocks[0].header.chain_id
    later = forged_block_proof(made, sign(statement, made.keys[1], signer=1, chain_id=chain))
    signed_by_another = forged_block_proof(
        made, sign(good.statement, made.keys[0], signer=0, chain_id=chain)
    )

    with pytest.raises(ProofError, match="the signature is not that of member 1"):
        check_update_proof(made.contract, unsigned)
    with pytest.raises(ProofError, match="the update is for height 7"):
        check_update_proof(made.contract, later)
    with pytest.raises(ProofError, match="the update of trainer 1 is signed as member 0"):
        check_update_proof(made.contract, signed_by_another)


def test_an_update_that_was_carried_but_not_counted_is_refused(made: Grown) -> None:
    """Vouched for, but not among the contributions: no weight to prove."""
    grown = empty_chain(made.contract, made.keys)
    grown.add(grown.build())
    block = grown.build()
    results = block.header.results
    counted = tuple(each for each in results.contributions if each.trainer != 1)
    header = replace(block.header, results=replace(results, contributions=counted))
    proof = proof_of(made)
    honest = replace(block, header=header)
    grown.add(honest)
    ledger = ledger_of(grown)
    other = prove_update(ledger, height=2, member=0)
    (update,) = (each for each in honest.updates if each.statement.trainer == 1)

    with pytest.raises(ProofError, match="counted no update of member 1, but of 0, 2, 3"):
        check_update_proof(made.contract, replace(other, update=update))
    assert check_update_proof(made.contract, proof).weight > 0


@pytest.mark.parametrize("size", range(1, LENGTH + 1))
def test_a_proof_continues_the_checkpoint_that_it_was_made_for(made: Grown, size: int) -> None:
    known = checkpoint_of(made, size)
    proof = proof_of(made, known=known)

    proven = check_update_proof(made.contract, proof, checkpoint=known)

    assert proven.anchored.header.height == LENGTH


def test_a_proof_without_link_fits_the_checkpoint_of_its_own_height_only(made: Grown) -> None:
    proof = proof_of(made)

    proven = check_update_proof(made.contract, proof, checkpoint=checkpoint_of(made, LENGTH))
    assert proven.anchored.header.height == LENGTH
    with pytest.raises(ProofError, match="the checkpoint is of height 3, the proof of 5; ask"):
        check_update_proof(made.contract, proof, checkpoint=checkpoint_of(made, 3))


def fork_of(made: Grown) -> Grown:
    """A second certified history from height 2 on."""
    fork = empty_chain(made.contract, made.keys)
    fork.add(fork.build())
    for _ in range(LENGTH - 1):
        fork.add(fork.build(view=1))
    return fork


def test_a_checkpoint_of_another_history_is_found(made: Grown) -> None:
    fork = fork_of(made)
    at_three, at_tip = checkpoint_of(fork, 3), checkpoint_of(fork, LENGTH)

    with pytest.raises(ProofError, match="of another history than the proof"):
        check_update_proof(made.contract, proof_of(made), checkpoint=at_tip)
    linked = proof_of(made, known=checkpoint_of(made, 3))
    with pytest.raises(ProofError, match="of another history than the proof"):
        check_update_proof(made.contract, linked, checkpoint=at_three)
    with pytest.raises(ProofError, match="has other blocks up to 3 than the checkpoint"):
        proof_of(made, known=at_three)


def test_a_checkpoint_that_is_not_certified_is_no_help(made: Grown) -> None:
    forged = replace(checkpoint_of(made, LENGTH), root=bytes(32))

    with pytest.raises(ProofError, match="do not follow from its certified block"):
        check_update_proof(made.contract, proof_of(made), checkpoint=forged)


def test_no_proof_is_made_for_a_checkpoint_beyond_the_ledger(made: Grown) -> None:
    short = Grown(
        contract=made.contract,
        keys=made.keys,
        states=made.states[:4],
        blocks=made.blocks[:3],
        certificates=made.certificates[:3],
    )

    with pytest.raises(ProofError, match="covers 5 blocks, this ledger has only 3"):
        proof_of(short, known=checkpoint_of(made, 5))


def test_the_log_of_a_proof_is_that_of_all_blocks(made: Grown) -> None:
    proven = check_update_proof(made.contract, proof_of(made))

    assert proven.anchored.root == root([block_id(each.header) for each in made.blocks])

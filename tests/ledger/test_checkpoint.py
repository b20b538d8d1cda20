"""A ledger's tip as C2SP checkpoint text (rule P55)."""

import random
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest

from ledger.anchors import check_anchor, make_anchor
from ledger.checkpoint import (
    CHECKPOINT_BYTES_MAX,
    SIGNATURES_MAX,
    Checkpoint,
    check_checkpoint,
    checkpoint_findings,
    decode_checkpoint,
    encode_checkpoint,
    make_checkpoint,
)
from ledger.errors import DecodeError
from ledger.genesis import chain_id
from ledger.merkle import ProofError, root
from ledger.records import block_id
from tests.support.ledger import Chain, chain, contract
from tests.support.memo import MemoScheme

WITNESS = "\u2014 witness.example/w1 " + b64encode(bytes(76)).decode()


def checkpoint_of(made: Chain, height: int) -> Checkpoint:
    anchor = make_anchor(made.contract, made.blocks, made.certificate, height)
    return make_checkpoint(check_anchor(made.contract, anchor), anchor)


@pytest.fixture(scope="module")
def made() -> Chain:
    return chain(4)


def ids(made: Chain) -> list[bytes]:
    return [block_id(each.header) for each in made.blocks]


def test_a_checkpoint_is_three_lines_and_a_signature_line(made: Chain) -> None:
    text = encode_checkpoint(checkpoint_of(made, 3)).decode("utf-8")

    origin, size, top, empty, signature, end = text.split("\n")
    assert origin == f"fednode/{chain_id(made.contract).hex()}"
    assert size == "3"
    assert b64decode(top) == root(ids(made)[:3])
    assert (empty, end) == ("", "")
    assert signature.startswith(f"\u2014 {origin} ")


@pytest.mark.parametrize("height", range(1, 5))
def test_a_checkpoint_is_believed_from_the_genesis(made: Chain, height: int) -> None:
    read = decode_checkpoint(encode_checkpoint(checkpoint_of(made, height)))

    anchored = check_checkpoint(made.contract, read)

    assert anchored.header == made.blocks[height - 1].header
    assert checkpoint_findings(made.contract, read, tuple(made.blocks)) == ()


def test_every_flipped_bit_of_a_checkpoint_is_found(made: Chain, seed: int) -> None:
    data = encode_checkpoint(checkpoint_of(made, 4))
    scheme, rng = MemoScheme(), random.Random(seed)
    text_bits = range(8 * data.index(b"\n\n"))

    passed = []
    for bit in [*text_bits, *rng.sample(range(8 * len(data)), 2_000)]:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            check_checkpoint(made.contract, decode_checkpoint(bytes(flipped)), scheme=scheme)
        except (DecodeError, ProofError):
            continue
        passed.append(bit)

    assert passed == []


def test_lines_of_witnesses_are_kept_and_ignored(made: Chain) -> None:
    ours = checkpoint_of(made, 4)
    for lines in ((WITNESS, *ours.signatures), (*ours.signatures, WITNESS)):
        read = decode_checkpoint(encode_checkpoint(replace(ours, signatures=lines)))

        assert read.signatures == lines
        assert check_checkpoint(made.contract, read).header.height == 4


def test_a_checkpoint_with_other_signatures_only_is_not_believed(made: Chain) -> None:
    ours = checkpoint_of(made, 4)

    for lines in ((WITNESS,), ours.signatures * 2):
        with pytest.raises(ProofError, match="expected one signature line of the chain itself"):
            check_checkpoint(made.contract, replace(ours, signatures=lines))


def test_the_signature_line_of_another_block_does_not_carry_over(made: Chain) -> None:
    third, fourth = checkpoint_of(made, 3), checkpoint_of(made, 4)
    mixed = replace(fourth, signatures=third.signatures)

    with pytest.raises(ProofError, match="do not follow from its certified block"):
        check_checkpoint(made.contract, mixed)
    with pytest.raises(ProofError, match="do not follow from its certified block"):
        check_checkpoint(made.contract, replace(fourth, root=bytes(32)))


def test_a_checkpoint_of_another_network_is_refused(made: Chain) -> None:
    other = contract(4, seed=8)

    with pytest.raises(ProofError, match="of another chain than the genesis"):
        check_checkpoint(other, checkpoint_of(made, 4))


def test_lines_that_name_another_chain_than_the_certified_one_are_refused(made: Chain) -> None:
    anchor = make_anchor(made.contract, made.blocks, made.certificate, 4)
    anchored = check_anchor(made.contract, anchor)
    other = replace(anchored, header=replace(anchored.header, chain_id=bytes(32)))

    with pytest.raises(ProofError, match="of another chain than the genesis"):
        check_checkpoint(made.contract, make_checkpoint(other, anchor))


def test_a_signature_line_that_holds_no_anchor_is_refused(made: Chain) -> None:
    ours = checkpoint_of(made, 4)
    head, _, encoded = ours.signatures[0].rpartition(" ")
    cut = b64encode(b64decode(encoded)[:-1]).decode()

    with pytest.raises(ProofError, match="the signature line of the chain: "):
        check_checkpoint(made.contract, replace(ours, signatures=(f"{head} {cut}",)))


def test_a_ledger_that_was_cut_off_or_forked_is_found(made: Chain) -> None:
    checkpoint = checkpoint_of(made, 4)
    fork = chain(3)
    fork.add(fork.build(view=1))

    (short,) = checkpoint_findings(made.contract, checkpoint, tuple(made.blocks[:3]))
    (forked,) = checkpoint_findings(made.contract, checkpoint, tuple(fork.blocks))
    (forged,) = checkpoint_findings(
        made.contract, replace(checkpoint, root=bytes(32)), tuple(made.blocks)
    )

    assert "covers 4 blocks, the ledger ends after 3" in short.text
    assert "other blocks up to here than the checkpoint" in forked.text
    assert "do not follow" in forged.text


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("fednode/", "other/", "expected the lines"),
        ("\n4\n", "\n04\n", "expected the lines"),
        ("\n4\n", "\n-4\n", "expected the lines"),
        ("\n4\n", "\n0\n", "expected the lines"),
        ("\n\n", "\nextension\n\n", "expected an empty line"),
        ("\n\n", "\n", "expected at least 5 lines"),
        ("=\n\n", "\n\n", "the root is not base64"),
        ("\u2014 fednode", "- fednode", "signature line 1 is not"),
        ("\u2014 fednode", "\u2014 fed\u2003node", "signature line 1 is not"),
        ("\u2014 fednode", "\u2014 fed\tnode", "signature line 1 is not"),
        ("\u2014 fednode", "\u2014 fed+node", "signature line 1 is not"),
    ],
)
def test_text_in_another_form_is_refused(made: Chain, old: str, new: str, text: str) -> None:
    good = encode_checkpoint(checkpoint_of(made, 4)).decode("utf-8")
    assert old in good

    with pytest.raises(DecodeError, match=text):
        decode_checkpoint(good.replace(old, new, 1).encode())


def test_the_last_line_has_an_end(made: Chain) -> None:
    good = encode_checkpoint(checkpoint_of(made, 4))

    with pytest.raises(DecodeError, match="expected at least 5 lines, got 4"):
        decode_checkpoint(good[:-1])


@pytest.mark.parametrize("data", [b"", b"\n" * 6, b"\xff", b"a\nb\nc\n\nd\n", b"\n"])
def test_bytes_that_are_no_checkpoint_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_checkpoint(data)


def test_a_short_root_and_too_many_lines_are_refused(made: Chain) -> None:
    ours = checkpoint_of(made, 4)
    short = encode_checkpoint(replace(ours, root=bytes(31)))
    many = encode_checkpoint(replace(ours, signatures=(WITNESS,) * (SIGNATURES_MAX + 1)))

    with pytest.raises(DecodeError, match="expected a root of 32 bytes, got 31"):
        decode_checkpoint(short)
    with pytest.raises(DecodeError, match="1 to 64 signature lines"):
        decode_checkpoint(many)


def test_a_lone_base64_form_counts(made: Chain) -> None:
    """The last digit of a root's base64 has two bits that no byte needs."""
    good = encode_checkpoint(checkpoint_of(made, 4)).decode("utf-8")
    top = good.split("\n")[2]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = f"{top[:-2]}{digits[digits.index(top[-2]) ^ 1]}="
    assert b64decode(twin) == b64decode(top)

    with pytest.raises(DecodeError, match="not the one base64 form"):
        decode_checkpoint(good.replace(top, twin).encode())


def test_a_file_that_is_too_large_for_a_checkpoint_is_not_read() -> None:
    """Rules P2, P55."""
    with pytest.raises(DecodeError, match="expected at most 16777216 bytes, got 16777217"):
        decode_checkpoint(bytes(CHECKPOINT_BYTES_MAX + 1))

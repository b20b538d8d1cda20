"""Signatures cover kind, chain and every field (rule P3)."""

from collections.abc import Iterator
from dataclasses import fields, replace

import nacl.bindings
import pytest

from ledger.encoding import encode_as
from ledger.errors import SignatureError
from ledger.genesis import consent_bytes
from ledger.keys import (
    ED25519,
    REMEMBERED_BYTES_MAX,
    SecretKey,
    Signed,
    Statement,
    Verified,
    sign,
    signing_bytes,
    verify,
)
from ledger.records import (
    FRESH,
    Codec,
    HaveEntry,
    HaveList,
    Phase,
    Proposal,
    UpdateHeader,
    Vote,
)
from tests.support.ledger import contract, digest, keys

CHAIN = digest("chain")
KEY, OTHER = keys(2)
STATEMENTS: tuple[UpdateHeader | HaveList | Proposal | Vote, ...] = (
    UpdateHeader(
        trainer=1,
        height=2,
        training_round=3,
        base_model_id=digest("base"),
        update_id=digest("update"),
        codec=Codec.INT32,
        n_elements=8,
        releases=1,
    ),
    HaveList(height=2, entries=(HaveEntry(trainer=0, header_digest=digest("header")),)),
    Proposal(height=2, view=3, valid_view=1, block_id=digest("block")),
    Vote(phase=Phase.PREPARE, height=2, view=3, valid_view=1, block_id=digest("block")),
)


def is_signed_by(statement: Statement, signature: bytes, key: SecretKey, chain: bytes) -> bool:
    signed = Signed(statement=statement, signer=0, signature=signature)
    try:
        verify(signed, key.public_key, chain_id=chain)
    except SignatureError:
        return False
    return True


def variants(statement: Statement) -> Iterator[Statement]:
    """The statement with each of its fields changed, one at a time."""
    others: dict[str, object] = {
        "codec": Codec.INT32,
        "phase": Phase.COMMIT,
        "entries": (HaveEntry(trainer=1, header_digest=digest("header")),),
    }
    for field in fields(statement):  # type: ignore[arg-type]  # statements are dataclasses
        if field.name == "codec":
            continue  # it has one value in this version
        value = getattr(statement, field.name)
        other = value + 1 if type(value) is int else others.get(field.name, digest("other"))
        changes = {field.name: other}
        if field.name == "phase":
            changes["valid_view"] = FRESH
        yield replace(statement, **changes)  # type: ignore[type-var]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda each: type(each).__name__)
def test_what_a_key_signed_verifies_under_that_key_only(statement: Statement) -> None:
    signed = sign(statement, KEY, signer=4, chain_id=CHAIN)

    verified = verify(signed, KEY.public_key, chain_id=CHAIN)

    assert (verified.statement, verified.signer, verified.signed) == (statement, 4, signed)
    with pytest.raises(SignatureError, match="not that of member 4"):
        verify(signed, OTHER.public_key, chain_id=CHAIN)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda each: type(each).__name__)
def test_a_signature_covers_every_field(statement: Statement) -> None:
    signature = sign(statement, KEY, signer=0, chain_id=CHAIN).signature

    changed = list(variants(statement))

    assert len(changed) >= 2
    assert [is_signed_by(each, signature, KEY, CHAIN) for each in changed] == [False] * len(changed)


def test_a_signature_of_one_kind_is_refused_as_every_other_kind() -> None:
    for one in STATEMENTS:
        signature = sign(one, KEY, signer=0, chain_id=CHAIN).signature
        accepted = [each for each in STATEMENTS if is_signed_by(each, signature, KEY, CHAIN)]
        assert accepted == [one]


def test_signed_bytes_of_different_kinds_never_coincide_even_with_equal_fields() -> None:
    proposal, vote = STATEMENTS[2], STATEMENTS[3]
    tags = {signing_bytes(each, CHAIN)[:16] for each in STATEMENTS}

    assert len(tags) == len(STATEMENTS)
    assert consent_bytes(contract(4))[:16] not in tags
    assert signing_bytes(proposal, CHAIN)[:16] != signing_bytes(vote, CHAIN)[:16]


def test_a_signature_of_one_chain_is_refused_in_another() -> None:
    for statement in STATEMENTS:
        signature = sign(statement, KEY, signer=0, chain_id=CHAIN).signature
        assert is_signed_by(statement, signature, KEY, CHAIN)
        assert not is_signed_by(statement, signature, KEY, digest("another chain"))


@pytest.mark.parametrize("public_key", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31), b"short"])
def test_a_key_that_is_none_verifies_nothing_and_raises_nothing(public_key: bytes) -> None:
    signature = KEY.sign(b"message")

    assert not ED25519.is_valid(public_key, b"message", signature)
    assert not ED25519.is_valid(public_key, b"message", bytes(64))
    assert not ED25519.is_valid(KEY.public_key, b"message", signature[:63])
    assert not ED25519.is_valid(KEY.public_key, b"message", b"")
    assert ED25519.is_valid(KEY.public_key, b"message", signature)


def test_every_bit_of_a_signature_matters() -> None:
    signature = KEY.sign(b"message")

    flipped = [bytes(b ^ (i == j) for j, b in enumerate(signature)) for i in range(64)]

    assert not any(ED25519.is_valid(KEY.public_key, b"message", each) for each in flipped)


def test_a_signature_with_the_group_order_added_is_refused() -> None:
    """Otherwise anybody could make a second valid signature, and so a second block id."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + order

    assert not ED25519.is_valid(
        KEY.public_key, b"message", signature[:32] + scalar.to_bytes(32, "little")
    )


def test_verified_is_built_by_verify_only() -> None:
    signed = sign(STATEMENTS[0], KEY, signer=0, chain_id=CHAIN)

    with pytest.raises(RuntimeError, match="verify only"):
        Verified(signed, token=object())


def test_a_seed_has_32_bytes_and_gives_one_key() -> None:
    seed = digest("seed")

    assert SecretKey(seed).public_key == SecretKey(seed).public_key
    assert SecretKey(seed).sign(b"x") == SecretKey(seed).sign(b"x")
    with pytest.raises(SignatureError, match="32 bytes, got 31"):
        SecretKey(seed[1:])


def test_a_signed_statement_encodes_under_its_generic_type() -> None:
    signed = sign(STATEMENTS[3], KEY, signer=0, chain_id=CHAIN)

    assert encode_as(Signed[Vote], signed)[:1] == b"\x93"


def test_a_valid_signature_of_a_short_statement_is_checked_once_and_a_false_one_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule P37: votes come again and again, also in certificates that somebody made up."""
    checked: list[bytes] = []
    original = nacl.bindings.crypto_sign_open

    def counted(signed: bytes, public_key: bytes) -> bytes:
        checked.append(signed)
        return original(signed, public_key)

    monkeypatch.setattr(nacl.bindings, "crypto_sign_open", counted)
    short, long = b"checked once in this test", bytes(REMEMBERED_BYTES_MAX + 1)

    def count(message: bytes, signature: bytes) -> int:
        before = len(checked)
        for _ in range(3):
            is_valid = ED25519.is_valid(KEY.public_key, message, signature)
            assert is_valid == (signature == KEY.sign(message))
        return len(checked) - before

    assert count(short, KEY.sign(short)) == 1
    assert count(short, KEY.sign(b"something else")) == 3
    assert count(long, KEY.sign(long)) == 3


def test_a_derived_secret_depends_on_key_and_purpose_and_is_neither_key() -> None:
    one, other = SecretKey(bytes(range(32))), SecretKey(bytes(range(1, 33)))

    derived = [one.derived("a"), one.derived("b"), other.derived("a"), one.public_key]

    assert len({*derived, bytes(range(32))}) == 5
    assert one.derived("a") == SecretKey(bytes(range(32))).derived("a")

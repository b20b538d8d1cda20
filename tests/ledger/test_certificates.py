"""Certificates: made, grown and checked as a whole (rules P28, P40, P51)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.certificates import (
    certificate_hash,
    check_certificate,
    make_certificate,
    merge_votes,
    signers,
)
from ledger.encoding import decode, encode
from ledger.errors import CertificateError, DecodeError
from ledger.keys import ED25519, Signed, sign
from ledger.powers import Validator, ValidatorSet
from ledger.records import FRESH, ZERO_DIGEST, Phase, QuorumCertificate, Vote
from tests.support.ledger import digest, keys

CHAIN = digest("chain")
KEYS = keys(10)
PUBLIC = tuple(key.public_key for key in KEYS)
POWERS = {0: 10, 2: 10, 3: 10, 5: 10, 6: 9, 7: 8, 8: 8, 9: 8}
VALIDATORS = ValidatorSet(
    validators=tuple(Validator(member=member, power=power) for member, power in POWERS.items())
)
QUORUM = (0, 2, 3, 5, 6)
COMMIT = Vote(phase=Phase.COMMIT, height=4, view=1, valid_view=FRESH, block_id=digest("block"))


def votes(members: tuple[int, ...], vote: Vote = COMMIT) -> list[Signed[Vote]]:
    return [sign(vote, KEYS[member], signer=member, chain_id=CHAIN) for member in members]


def check(certificate: QuorumCertificate, validators: ValidatorSet = VALIDATORS) -> None:
    check_certificate(certificate, validators, PUBLIC, chain_id=CHAIN, scheme=ED25519)


def test_certificate_of_a_quorum_checks_and_names_its_signers_in_order() -> None:
    certificate = make_certificate(votes(QUORUM)[::-1], VALIDATORS)

    check(certificate)
    assert signers(certificate, VALIDATORS) == QUORUM
    assert certificate.vote == COMMIT
    assert certificate.bitmap == bytes([0b00011111])
    assert decode(QuorumCertificate, encode(certificate)) == certificate


@given(st.sets(st.sampled_from(sorted(POWERS))))
def test_a_certificate_exists_exactly_for_a_quorum_of_unequal_powers(chosen: set[int]) -> None:
    power = sum(POWERS[member] for member in chosen)
    made = votes(tuple(chosen))

    if 3 * power > 2 * sum(POWERS.values()):
        check(make_certificate(made, VALIDATORS))
    else:
        with pytest.raises(CertificateError, match=r"no quorum|got none"):
            make_certificate(made, VALIDATORS)


def test_a_repeated_vote_counts_once() -> None:
    with pytest.raises(CertificateError, match="power 40 of 73 is no quorum"):
        make_certificate(votes((0, 2, 3, 5, 5, 5)), VALIDATORS)


def test_votes_of_strangers_make_no_certificate() -> None:
    with pytest.raises(CertificateError, match="member 1 is no validator of height 4"):
        make_certificate(votes((0, 1, 2, 3, 5, 6)), VALIDATORS)


def test_different_votes_make_no_certificate() -> None:
    """Rule P34: a certificate is behind one vote, its valid view included."""
    other = replace(COMMIT, view=2)

    with pytest.raises(CertificateError, match="expected equal votes"):
        make_certificate(votes((0, 2, 3, 5)) + votes((6,), other), VALIDATORS)


def test_a_bit_beyond_the_validators_is_an_error() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    nine = replace(VALIDATORS, validators=VALIDATORS.validators[:7])
    beyond = replace(
        certificate, bitmap=bytes([0b10011111]), signatures=(*certificate.signatures, bytes(64))
    )

    with pytest.raises(CertificateError, match="bit 7 names none of 7 validators"):
        check(beyond, nine)


def test_a_bitmap_has_exactly_the_bytes_that_the_validators_need() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    longer = replace(certificate, bitmap=certificate.bitmap + b"\0")

    with pytest.raises(CertificateError, match="expected 1 bytes of bitmap for 8 validators"):
        check(longer)


def test_bits_and_signatures_must_match_in_number() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)

    with pytest.raises(DecodeError, match="5 bits in the bitmap, 4 signatures"):
        replace(certificate, signatures=certificate.signatures[:-1])


def test_power_below_a_quorum_is_refused_before_any_signature_is_checked() -> None:
    few = QuorumCertificate(
        phase=Phase.COMMIT,
        height=4,
        view=1,
        valid_view=FRESH,
        block_id=COMMIT.block_id,
        bitmap=bytes([0b00001111]),
        signatures=(bytes(64),) * 4,
    )

    with pytest.raises(CertificateError, match="power 40 of 73 is no quorum"):
        check(few)


def test_signatures_in_another_order_are_refused() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    swapped = replace(certificate, signatures=certificate.signatures[::-1])

    with pytest.raises(CertificateError, match="not that of member 0"):
        check(swapped)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 5},
        {"view": 2},
        {"block_id": digest("other block")},
        {"block_id": b""},
        {"phase": Phase.PREPARE},
        {"phase": Phase.PREPARE, "valid_view": 0},
    ],
    ids=str,
)
def test_a_certificate_proves_nothing_but_the_vote_that_was_signed(
    change: dict[str, object],
) -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    other = replace(certificate, **change)  # type: ignore[arg-type]  # fields by name

    with pytest.raises(CertificateError, match="the signature is not that of member 0"):
        check(other)


def test_a_certificate_of_another_chain_is_refused() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)

    with pytest.raises(CertificateError, match="the signature is not"):
        check_certificate(certificate, VALIDATORS, PUBLIC, chain_id=digest("another chain"))


def test_late_commits_are_merged_and_nothing_else_is() -> None:
    """Rule P40."""
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    late = votes((9, 0))
    useless = [*votes((1,)), *votes((7,), replace(COMMIT, view=2))]

    merged = merge_votes(certificate, late + useless, VALIDATORS)

    check(merged)
    assert signers(merged, VALIDATORS) == (*QUORUM, 9)
    assert merge_votes(certificate, useless, VALIDATORS) == certificate


def test_a_late_vote_never_replaces_one_that_is_in() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    again = replace(votes((0,))[0], signature=bytes(64))

    assert merge_votes(certificate, [again], VALIDATORS) == certificate


def test_headers_name_a_certificate_by_its_hash_and_none_by_zeros() -> None:
    certificate = make_certificate(votes(QUORUM), VALIDATORS)
    merged = merge_votes(certificate, votes((9,)), VALIDATORS)

    assert certificate_hash(()) == ZERO_DIGEST
    assert len({certificate_hash((certificate,)), certificate_hash((merged,)), ZERO_DIGEST}) == 3

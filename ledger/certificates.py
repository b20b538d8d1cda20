"""Quorum certificates: made from votes, grown by late votes, checked as a whole (P28, P40, P51)."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from ledger.encoding import domain_tag, encode
from ledger.errors import CertificateError
from ledger.keys import ED25519, SignatureScheme, Signed, signing_bytes
from ledger.powers import ValidatorSet
from ledger.records import ZERO_DIGEST, QuorumCertificate, Vote


def make_certificate(votes: Sequence[Signed[Vote]], validators: ValidatorSet) -> QuorumCertificate:
    """Return the certificate that equal votes of a quorum make; signatures are not checked.

    Raises:
        CertificateError: If the votes differ, a signer is no validator, or there is no quorum.
    """
    if not votes:
        raise CertificateError("expected votes of a quorum, got none")
    vote = votes[0].statement
    if any(each.statement != vote for each in votes):
        raise CertificateError(f"expected equal votes, got several at height {vote.height}")
    signatures: dict[int, bytes] = {}
    for each in votes:
        position = validators.position_of(each.signer)
        if position is None:
            raise CertificateError(f"member {each.signer} is no validator of height {vote.height}")
        signatures.setdefault(position, each.signature)
    certificate = _certificate(vote, signatures, validators)
    _check_power(certificate, validators)
    return certificate


def merge_votes(
    certificate: QuorumCertificate, votes: Iterable[Signed[Vote]], validators: ValidatorSet
) -> QuorumCertificate:
    """Return the certificate with every further vote that equals its own (rule P40).

    Votes of another view or block, of strangers, or of those already in it are left out: late
    COMMITs may only add to what the next block credits, never change what was decided. The
    signatures of the votes must have been verified: they are not looked at.
    """
    vote = certificate.vote
    signatures = dict(zip(certificate.positions, certificate.signatures, strict=True))
    for each in votes:
        position = validators.position_of(each.signer)
        if position is not None and each.statement == vote:
            signatures.setdefault(position, each.signature)
    return _certificate(vote, signatures, validators)


def check_certificate(
    certificate: QuorumCertificate,
    validators: ValidatorSet,
    public_keys: Sequence[bytes] | Mapping[int, bytes],
    *,
    chain_id: bytes,
    scheme: SignatureScheme = ED25519,
) -> None:
    """Check that a quorum of `validators` signed the vote of a certificate.

    Which height, view and block are expected is the caller's question. Cheap checks come first:
    1 the bitmap fits the set, 2 the power is a quorum, 3 every signature is valid.

    Args:
        certificate: From anywhere.
        validators: The set of the certificate's height.
        public_keys: Keys of that height by member number, at least of all in the set.
        chain_id: The chain that the votes must name.
        scheme: How signatures are checked.

    Raises:
        CertificateError: If one of the checks fails; the sender's fault.
    """
    where = f"certificate of height {certificate.height} view {certificate.view}"
    count = len(validators.validators)
    if len(certificate.bitmap) != _bitmap_bytes(count):
        expected = _bitmap_bytes(count)
        raise CertificateError(
            f"{where}: expected {expected} bytes of bitmap for {count} validators"
        )
    positions = certificate.positions
    if positions and positions[-1] >= count:
        raise CertificateError(f"{where}: bit {positions[-1]} names none of {count} validators")
    _check_power(certificate, validators)
    message = signing_bytes(certificate.vote, chain_id)
    for position, signature in zip(positions, certificate.signatures, strict=True):
        member = validators.members[position]
        if not scheme.is_valid(public_keys[member], message, signature):
            raise CertificateError(f"{where}: the signature is not that of member {member}")


def signers(certificate: QuorumCertificate, validators: ValidatorSet) -> tuple[int, ...]:
    """Return the members whose votes a certificate holds; bits beyond the set name nobody."""
    members = validators.members
    return tuple(members[each] for each in certificate.positions if each < len(members))


def certificate_hash(last_certificate: tuple[QuorumCertificate, ...]) -> bytes:
    """Return the hash by which a header names its last certificate, zeros for none (block 1)."""
    if not last_certificate:
        return ZERO_DIGEST
    return sha256(domain_tag("cert/1") + encode(last_certificate[0])).digest()


def _check_power(certificate: QuorumCertificate, validators: ValidatorSet) -> None:
    members = signers(certificate, validators)
    power = sum(validators.power_of(member) for member in members)
    if not validators.has_quorum(power):
        where = f"certificate of height {certificate.height} view {certificate.view}"
        raise CertificateError(f"{where}: power {power} of {validators.total} is no quorum")


def _certificate(
    vote: Vote, signatures: Mapping[int, bytes], validators: ValidatorSet
) -> QuorumCertificate:
    bitmap = bytearray(_bitmap_bytes(len(validators.validators)))
    for position in signatures:
        bitmap[position // 8] |= 1 << position % 8
    return QuorumCertificate(
        phase=vote.phase,
        height=vote.height,
        view=vote.view,
        valid_view=vote.valid_view,
        block_id=vote.block_id,
        bitmap=bytes(bitmap),
        signatures=tuple(signatures[position] for position in sorted(signatures)),
    )


def _bitmap_bytes(count: int) -> int:
    return max(1, (count + 7) // 8)

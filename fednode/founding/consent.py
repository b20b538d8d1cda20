"""The signatures of the founding members on their contract (rule P1)."""

from collections.abc import Iterable
from dataclasses import replace

from fednode.errors import ConfigError
from ledger.genesis import Contract, FounderSignature, Genesis, chain_id, consent_bytes
from ledger.keys import ED25519, Key


def number_of(contract: Contract, public_key: bytes) -> int:
    """Return the number of the member with a public key.

    Raises:
        ConfigError: If no member has it.
    """
    for number, member in enumerate(contract.members):
        if member.public_key == public_key:
            return number
    raise ConfigError(
        f"expected the key of a member of {contract.name!r}, got {public_key.hex()[:16]}, which "
        "the contract does not list; check node.key_file and node.genesis_file"
    )


def sign_contract(genesis: Genesis, key: Key) -> Genesis:
    """Return the genesis with the signature of the member that holds `key`; again changes nothing.

    Raises:
        ConfigError: If the key is no member's.
    """
    member = number_of(genesis.contract, key.public_key)
    signature = FounderSignature(member=member, signature=key.sign(consent_bytes(genesis.contract)))
    return _with_signatures(genesis, (signature,))


def merge_signatures(genesis: Genesis, others: Iterable[Genesis]) -> Genesis:
    """Return the genesis with all valid signatures of copies that were signed elsewhere.

    Raises:
        ConfigError: If a copy has another contract, or a signature that is not its member's.
    """
    for other in others:
        if other.contract != genesis.contract:
            raise ConfigError(
                f"expected copies of chain {chain_id(genesis.contract).hex()[:16]}, got one of "
                f"{chain_id(other.contract).hex()[:16]}; compare them with 'fednode genesis diff'"
            )
        for each in other.signatures:
            if not is_signed_by(genesis.contract, each):
                raise ConfigError(
                    f"expected the signature of member {each.member}, got one that is not; "
                    "ask this member to sign again"
                )
        genesis = _with_signatures(genesis, other.signatures)
    return genesis


def is_signed_by(contract: Contract, signature: FounderSignature) -> bool:
    """Return whether a signature is that of the member whom it names."""
    if signature.member >= len(contract.members):
        return False
    public_key = contract.members[signature.member].public_key
    return ED25519.is_valid(public_key, consent_bytes(contract), signature.signature)


def missing_signatures(genesis: Genesis) -> tuple[str, ...]:
    """Return the names of the members whose valid signature is not there, in member order."""
    signed = {each.member for each in genesis.signatures if is_signed_by(genesis.contract, each)}
    members = enumerate(genesis.contract.members)
    return tuple(member.name for number, member in members if number not in signed)


def _with_signatures(genesis: Genesis, signatures: Iterable[FounderSignature]) -> Genesis:
    by_member = {each.member: each for each in (*genesis.signatures, *signatures)}
    return replace(genesis, signatures=tuple(by_member[number] for number in sorted(by_member)))

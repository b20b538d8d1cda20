"""The network key (rule P90): 32 random bytes, sealed for every member in one public file.

Each box says for which member number and key it is. So the file can be sealed again for those who
joined later, and a newcomer learns from it the number that the chain reserved for its key.

The file is no proof of who made it: whoever can exchange it can make members use a key that he
knows. Members therefore compare the key's id, which `genesis sign` and the log of `run` show.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from fednode.errors import ConfigError
from fednode.founding.keys import MemberKey, seal_box
from fednode.wire.envelope import KEY_BYTES
from ledger.encoding import U16, Digest, Items, Octets, PublicKey, decode, encode
from ledger.errors import DecodeError
from ledger.genesis import Contract, chain_id
from ledger.kinds import MEMBERS_MAX

BOX_OVERHEAD_BYTES: Final = 48
_BOX_BYTES: Final = KEY_BYTES + BOX_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBox:
    """The network key, readable for the holder of one member's secret key."""

    member: U16
    public_key: PublicKey
    box: Annotated[bytes, Octets(_BOX_BYTES, _BOX_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedNetworkKey:
    """The network key of one chain, boxed for members; one may have a box for each of two keys."""

    chain_id: Digest
    boxes: Annotated[tuple[KeyBox, ...], Items(2 * MEMBERS_MAX)]


DECODABLE: Final[tuple[object, ...]] = (SealedNetworkKey,)


def seal_network_key(contract: Contract, key: bytes) -> bytes:
    """Return the content of the public file that hands `key` to the founding members.

    Args:
        contract: The founders' contract; its chain id is noted in the file.
        key: 32 fresh random bytes.

    Raises:
        ConfigError: If a member's public key is none.
    """
    members = enumerate(contract.members)
    recipients = [(number, member.public_key) for number, member in members]
    return seal_for(chain_id(contract), recipients, key)


def seal_for(chain: bytes, recipients: Iterable[tuple[int, bytes]], key: bytes) -> bytes:
    """Return the content of the public file that hands the network key to some members.

    Args:
        chain: The chain id.
        recipients: Member numbers with public keys.
        key: The network key.

    Raises:
        ConfigError: If a public key is none.
    """
    boxes = tuple(
        KeyBox(member=member, public_key=public_key, box=seal_box(key, public_key))
        for member, public_key in recipients
    )
    return encode(SealedNetworkKey(chain_id=chain, boxes=boxes))


def number_in_file(sealed: bytes, public_key: bytes) -> int | None:
    """Return the member number that the file names for a key; a hint that the chain must confirm.

    Raises:
        ConfigError: If the bytes are damaged.
    """
    boxes = _read(sealed).boxes
    return next((each.member for each in boxes if each.public_key == public_key), None)


def recipients_of(sealed: bytes) -> tuple[tuple[int, bytes], ...]:
    """Return the member numbers and public keys for which a file is sealed.

    Raises:
        ConfigError: If the bytes are damaged.
    """
    return tuple((each.member, each.public_key) for each in _read(sealed).boxes)


def open_network_key(sealed: bytes, key: MemberKey, contract: Contract) -> bytes:
    """Return the 32 bytes of the network key.

    Args:
        sealed: What `seal_network_key` made.
        key: The member's secret key.
        contract: The contract that the key must belong to.

    Raises:
        ConfigError: If the bytes are damaged, of another chain, or not for this member.
    """
    file = _read(sealed)
    if file.chain_id != chain_id(contract):
        raise ConfigError(
            f"expected the network key of chain {chain_id(contract).hex()[:16]}, got that of "
            f"{file.chain_id.hex()[:16]}; take both files from one 'genesis create'"
        )
    boxes = (each.box for each in file.boxes if each.public_key == key.public_key)
    opened = key.open_box(next(boxes, b""))
    if opened is None or len(opened) != KEY_BYTES:
        raise ConfigError(
            f"expected a network key sealed for {key.public_key.hex()[:16]}, got none that its "
            "secret key opens; check node.key_file, or ask for the file again"
        )
    return opened


def _read(sealed: bytes) -> SealedNetworkKey:
    try:
        return decode(SealedNetworkKey, sealed)
    except DecodeError as error:
        raise ConfigError(f"expected a sealed network key, got: {error}; copy it again") from None

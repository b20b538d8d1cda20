"""The network key (rule P90): 32 random bytes, sealed for every member in one public file.

The file is no proof of who made it: whoever can exchange it can make members use a key that he
knows. Members therefore compare the key's id, which `genesis sign` and the log of `run` show.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from fednode.errors import ConfigError
from fednode.founding.keys import MemberKey, seal_box
from fednode.wire.envelope import KEY_BYTES
from ledger.encoding import Digest, Items, Octets, PublicKey, decode, encode
from ledger.errors import DecodeError
from ledger.genesis import Contract, chain_id
from ledger.kinds import MEMBERS_MAX

BOX_OVERHEAD_BYTES: Final = 48
_BOX_BYTES: Final = KEY_BYTES + BOX_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBox:
    """The network key, readable for the holder of one member's secret key."""

    public_key: PublicKey
    box: Annotated[bytes, Octets(_BOX_BYTES, _BOX_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedNetworkKey:
    """The network key of one chain, boxed for each member in member order."""

    chain_id: Digest
    boxes: Annotated[tuple[KeyBox, ...], Items(MEMBERS_MAX)]


DECODABLE: Final[tuple[object, ...]] = (SealedNetworkKey,)


def seal_network_key(contract: Contract, key: bytes) -> bytes:
    """Return the content of the public file that hands `key` to the members of a contract.

    Args:
        contract: The contract; its chain id is noted in the file.
        key: 32 fresh random bytes.

    Raises:
        ConfigError: If a member's public key is none.
    """
    boxes = tuple(
        KeyBox(public_key=member.public_key, box=seal_box(key, member.public_key))
        for member in contract.members
    )
    return encode(SealedNetworkKey(chain_id=chain_id(contract), boxes=boxes))


def open_network_key(sealed: bytes, key: MemberKey, contract: Contract) -> bytes:
    """Return the 32 bytes of the network key.

    Args:
        sealed: What `seal_network_key` made.
        key: The member's secret key.
        contract: The contract that the key must belong to.

    Raises:
        ConfigError: If the bytes are damaged, of another chain, or not for this member.
    """
    try:
        file = decode(SealedNetworkKey, sealed)
    except DecodeError as error:
        raise ConfigError(f"expected a sealed network key, got: {error}; copy it again") from None
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

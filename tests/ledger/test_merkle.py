"""Merkle roots against the recursive definition and published values (RFC 6962)."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.merkle import EMPTY_RANGE, EMPTY_ROOT, CompactRange, root

# The leaves and roots of certificate-transparency-go's reference tests of RFC 6962.
KNOWN_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
KNOWN_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    left, right = recursive_root(leaves[:split]), recursive_root(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_root_equals_the_published_values(size: int) -> None:
    assert root(KNOWN_LEAVES[:size]).hex() == KNOWN_ROOTS[size - 1]


def test_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert root([]) == EMPTY_ROOT == EMPTY_RANGE.root() == sha256(b"").digest()


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_root_equals_the_recursive_definition(leaves: list[bytes]) -> None:
    assert root(leaves) == recursive_root(leaves)


def test_a_log_has_the_root_of_the_list_after_every_append() -> None:
    leaves = [bytes([i]) * 32 for i in range(200)]
    log, roots = EMPTY_RANGE, []
    for leaf in leaves:
        log = log.append(leaf)
        roots.append(log.root())

    assert roots == [recursive_root(leaves[: i + 1]) for i in range(len(leaves))]
    assert log.size == 200
    assert decode(CompactRange, encode(log)) == log


def test_a_log_remembers_one_hash_per_bit_of_its_size() -> None:
    with pytest.raises(DecodeError, match="a log of 3 has 2 subtrees, not 1"):
        CompactRange(size=3, hashes=(bytes(32),))


def test_a_leaf_is_never_mistaken_for_a_node() -> None:
    left, right = sha256(b"\x00a").digest(), sha256(b"\x00b").digest()

    assert root([b"a", b"b"]) != root([left + right])

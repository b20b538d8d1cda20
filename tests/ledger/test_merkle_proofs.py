"""Merkle proofs against the recursive definitions and published values (RFC 6962, rule P55)."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.merkle import (
    ProofError,
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
    root,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "rfc6962.txt"
SIZE_MAX = 64
LEAVES = [f"leaf {i}".encode() for i in range(SIZE_MAX)]


@dataclass(frozen=True)
class Vector:
    """One line of the published values: two numbers and the hashes of a proof."""

    kind: str
    first: int
    second: int
    path: tuple[bytes, ...]


def vector_lines(kind: str) -> list[list[str]]:
    lines = VECTORS.read_text(encoding="ascii").splitlines()
    return [line.split()[1:] for line in lines if line.startswith(f"{kind} ")]


def published_leaves() -> list[bytes]:
    return [bytes.fromhex(words[1]) if words[1:] else b"" for words in vector_lines("leaf")]


def published_roots() -> dict[int, bytes]:
    return {int(size): bytes.fromhex(text) for size, text in vector_lines("root")}


def published(kind: str) -> list[Vector]:
    return [
        Vector(kind, int(words[0]), int(words[1]), tuple(map(bytes.fromhex, words[2:])))
        for words in vector_lines(kind)
    ]


def split_of(size: int) -> int:
    split = 1
    while 2 * split < size:
        split *= 2
    return split


def recursive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = split_of(len(leaves))
    return sha256(
        b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])
    ).digest()


def recursive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    split = split_of(len(leaves))
    if index < split:
        return [*recursive_path(index, leaves[:split]), recursive_root(leaves[split:])]
    return [*recursive_path(index - split, leaves[split:]), recursive_root(leaves[:split])]


def recursive_subproof(first: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2, word for word."""
    if first == len(leaves):
        return [] if whole else [recursive_root(leaves)]
    split = split_of(len(leaves))
    if first <= split:
        return [
            *recursive_subproof(first, leaves[:split], whole=whole),
            recursive_root(leaves[split:]),
        ]
    return [
        *recursive_subproof(first - split, leaves[split:], whole=False),
        recursive_root(leaves[:split]),
    ]


def is_included(leaf: bytes, index: int, size: int, path: tuple[bytes, ...], top: bytes) -> bool:
    try:
        check_inclusion(leaf, index=index, size=size, path=path, expected_root=top)
    except ProofError:
        return False
    return True


def is_consistent(
    first: int, first_root: bytes, second: int, second_root: bytes, path: tuple[bytes, ...]
) -> bool:
    try:
        check_consistency(
            first=first, first_root=first_root, second=second, second_root=second_root, path=path
        )
    except ProofError:
        return False
    return True


def bad_paths(path: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """The path with one hash changed, taken away, doubled or added."""
    changed = [
        (*path[:i], bytes([path[i][0] ^ 1]) + path[i][1:], *path[i + 1 :]) for i in range(len(path))
    ]
    shorter = [(*path[:i], *path[i + 1 :]) for i in range(len(path))]
    doubled = [(*path[: i + 1], *path[i:]) for i in range(len(path))]
    return [*changed, *shorter, *doubled, (*path, bytes(32)), (bytes(32), *path)]


@pytest.mark.parametrize("case", published("inclusion"), ids=str)
def test_inclusion_proofs_are_the_published_ones(case: Vector) -> None:
    leaves, roots = published_leaves(), published_roots()

    path = prove_inclusion(leaves[: case.second], case.first)

    assert path == case.path
    assert is_included(leaves[case.first], case.first, case.second, path, roots[case.second])


@pytest.mark.parametrize("case", published("consistency"), ids=str)
def test_consistency_proofs_are_the_published_ones(case: Vector) -> None:
    leaves, roots = published_leaves(), published_roots()

    path = prove_consistency(leaves[: case.second], case.first)

    assert path == case.path
    assert is_consistent(case.first, roots[case.first], case.second, roots[case.second], path)


def test_published_leaves_have_the_published_roots() -> None:
    leaves = published_leaves()

    assert {n: root(leaves[:n]) for n in range(1, 9)} == published_roots()


def test_every_inclusion_proof_to_64_leaves_is_the_recursive_one_and_no_other_holds() -> None:
    for size in range(1, SIZE_MAX + 1):
        leaves = LEAVES[:size]
        top = root(leaves)
        for index, leaf in enumerate(leaves):
            path = prove_inclusion(leaves, index)
            assert list(path) == recursive_path(index, leaves), (index, size)
            assert is_included(leaf, index, size, path, top)
            assert not is_included(b"another", index, size, path, top)
            assert not is_included(leaf, index, size, path, bytes(32))
            assert not any(is_included(leaf, index, size, each, top) for each in bad_paths(path))


def test_a_leaf_is_included_at_its_own_place_only() -> None:
    for size in range(1, 33):
        leaves = LEAVES[:size]
        top = root(leaves)
        for index, leaf in enumerate(leaves):
            path = prove_inclusion(leaves, index)
            places = [
                each for each in range(-1, size + 2) if is_included(leaf, each, size, path, top)
            ]
            assert places == [index]


def test_every_consistency_proof_to_64_leaves_is_the_recursive_one_and_no_other_holds() -> None:
    tops = {size: root(LEAVES[:size]) for size in range(1, SIZE_MAX + 1)}
    for second in range(1, SIZE_MAX + 1):
        for first in range(1, second + 1):
            path = prove_consistency(LEAVES[:second], first)
            assert list(path) == recursive_subproof(first, LEAVES[:second], whole=True), (
                first,
                second,
            )
            assert is_consistent(first, tops[first], second, tops[second], path)
            assert not is_consistent(first, bytes(32), second, tops[second], path)
            assert not is_consistent(first, tops[first], second, bytes(32), path)
            assert not any(
                is_consistent(first, tops[first], second, tops[second], each)
                for each in bad_paths(path)
            )


def test_a_list_that_was_changed_is_no_beginning() -> None:
    for second in range(2, 33):
        for first in range(1, second):
            forked = [*LEAVES[: first - 1], b"another"]
            path = prove_consistency(LEAVES[:second], first)
            assert not is_consistent(first, root(forked), second, root(LEAVES[:second]), path)


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 3)])
def test_a_beginning_has_at_least_one_and_at_most_all_leaves(first: int, second: int) -> None:
    with pytest.raises(ProofError, match=f"expected a beginning of 1 to 3 leaves, got {first}"):
        check_consistency(
            first=first, first_root=bytes(32), second=second, second_root=bytes(32), path=()
        )


def test_a_proof_between_different_lists_has_hashes() -> None:
    with pytest.raises(ProofError, match="expected hashes after the 3 leaves of the beginning"):
        check_consistency(first=3, first_root=bytes(32), second=4, second_root=bytes(32), path=())


def test_a_proof_of_another_length_is_named_as_such() -> None:
    top, path = root(LEAVES[:5]), prove_inclusion(LEAVES[:5], 1)
    older, link = root(LEAVES[:3]), prove_consistency(LEAVES[:5], 3)

    with pytest.raises(ProofError, match="4 hashes are too many for a list of 5"):
        check_inclusion(LEAVES[1], index=1, size=5, path=(*path, top), expected_root=top)
    with pytest.raises(ProofError, match="2 hashes are too few for a list of 5"):
        check_inclusion(LEAVES[1], index=1, size=5, path=path[:-1], expected_root=top)
    with pytest.raises(ProofError, match="5 hashes are too many for lists of 3 and 5"):
        check_consistency(first=3, first_root=older, second=5, second_root=top, path=(*link, top))
    with pytest.raises(ProofError, match="3 hashes are too few for lists of 3 and 5"):
        check_consistency(first=3, first_root=older, second=5, second_root=top, path=link[:-1])

"""After a run ledgers are compared and audited from their exports, and nothing is glossed over."""

from dataclasses import replace
from pathlib import Path

import pytest

from fednode.testnet.folders import NetworkFolder
from fednode.testnet.verification import are_identical, are_prefixes, check_ledgers
from ledger.genesis import Genesis
from ledger.store import DATABASE_NAME, Ledger
from tests.support.ledger import Chain, chain
from tests.support.ledger import genesis as genesis_of

HEIGHT = 3


@pytest.fixture(scope="module")
def history() -> Chain:
    return chain(HEIGHT)


@pytest.fixture(scope="module")
def genesis(history: Chain) -> Genesis:
    return genesis_of(history.contract, history.keys)


def make_ledgers(folder: NetworkFolder, history: Chain, heights: list[int]) -> None:
    states = history.states
    for member, height in zip(history.contract.members, heights, strict=True):
        with Ledger.create(
            folder.state(member.name), genesis_of(history.contract, history.keys)
        ) as ledger:
            for block, certificate, state in list(
                zip(history.blocks, history.certificates, states[1:], strict=True)
            )[:height]:
                ledger.append(block, certificate, state)


def test_equal_ledgers_hold_and_are_identical(
    tmp_path: Path, history: Chain, genesis: Genesis
) -> None:
    folder = NetworkFolder(root=tmp_path)
    make_ledgers(folder, history, [HEIGHT] * 4)

    checks = check_ledgers(folder, genesis)

    assert [(check.height, check.findings) for check in checks] == [(HEIGHT, ())] * 4
    assert are_identical(checks)
    assert are_prefixes(checks)


def test_shorter_ledger_is_a_prefix_and_not_identical(
    tmp_path: Path, history: Chain, genesis: Genesis
) -> None:
    folder = NetworkFolder(root=tmp_path)
    make_ledgers(folder, history, [HEIGHT, HEIGHT, 1, 0])

    checks = check_ledgers(folder, genesis)

    assert not are_identical(checks)
    assert are_prefixes(checks)


def test_other_block_at_one_height_is_no_prefix(
    tmp_path: Path, history: Chain, genesis: Genesis
) -> None:
    folder = NetworkFolder(root=tmp_path)
    make_ledgers(folder, history, [HEIGHT] * 4)
    first, *others = check_ledgers(folder, genesis)
    header = replace(first.blocks[1].header, time_ms=first.blocks[1].header.time_ms + 1)
    blocks = (first.blocks[0], replace(first.blocks[1], header=header), first.blocks[2])

    checks = (replace(first, blocks=blocks), *others)

    assert not are_identical(checks)
    assert not are_prefixes(checks)


def test_missing_ledger_is_a_finding(tmp_path: Path, history: Chain, genesis: Genesis) -> None:
    folder = NetworkFolder(root=tmp_path)
    make_ledgers(folder, history, [HEIGHT] * 4)
    (folder.state(history.contract.members[2].name) / DATABASE_NAME).unlink()

    checks = check_ledgers(folder, genesis)

    assert [bool(check.findings) for check in checks] == [False, False, True, False]
    assert "no ledger" in checks[2].findings[0]


def test_forged_certificate_is_found_from_the_export(
    tmp_path: Path, history: Chain, genesis: Genesis
) -> None:
    folder = NetworkFolder(root=tmp_path)
    make_ledgers(folder, history, [HEIGHT - 1] * 4)
    name = history.contract.members[0].name
    last = history.certificates[-1]
    forged = replace(last, signatures=(bytes(64), *last.signatures[1:]))
    with Ledger.open(folder.state(name)) as ledger:
        ledger.append(history.blocks[-1], forged, history.states[-1])

    checks = check_ledgers(folder, genesis)

    assert [bool(check.findings) for check in checks] == [True, False, False, False]

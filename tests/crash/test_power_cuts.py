"""A member whose disk fails at any write, fsync or rename comes back and breaks no promise.

All promises of `tests.simulation.checkers` hold in every run: no two statements at one place over
both incarnations, a ledger that is a prefix, and everybody, the victim among them, decides on
(rules P53, P60).
"""

import multiprocessing
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from ledger.blobs import Blobs
from ledger.bodies import body_id
from ledger.errors import StorageError
from ledger.store import DATABASE_NAME, Ledger
from tests.crash.power import Failure, Loss, PowerDisk
from tests.crash.world import Plan, run
from tests.support.ledger import Chain, genesis, stub_chain

PROCESSES = 2
CHUNK = 8
LOSSES = pytest.mark.parametrize("loss", list(Loss), ids=lambda loss: loss.value)


def undisturbed(*, has_checkpoints: bool) -> range:
    """The numbers of all changes to the victim's disk in a run of three heights."""
    calm = run(Plan(fail_at=None, has_checkpoints=has_checkpoints))
    return range(calm.started, calm.ended)


def run_all(plans: Iterable[Plan]) -> None:
    """Run every plan, on two processes; the first broken promise is raised."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for _ in pool.imap(run, plans, chunksize=CHUNK):
            pass


@LOSSES
def test_power_may_go_at_every_change_of_three_heights(loss: Loss) -> None:
    numbers = undisturbed(has_checkpoints=False)

    assert len(numbers) > 60
    run_all(Plan(fail_at=number, loss=loss) for number in numbers)


@LOSSES
def test_power_may_go_at_every_change_while_the_log_moves_into_the_database(loss: Loss) -> None:
    numbers = undisturbed(has_checkpoints=True)

    assert len(numbers) > 100
    run_all(Plan(fail_at=number, loss=loss, has_checkpoints=True) for number in numbers)


def test_the_disk_may_be_full_at_every_change_of_three_heights() -> None:
    numbers = undisturbed(has_checkpoints=False)

    run_all(Plan(fail_at=number, failure=Failure.FULL) for number in numbers)


def test_the_same_run_writes_the_same_way_each_time() -> None:
    first, second = run(Plan(fail_at=None)), run(Plan(fail_at=None))

    assert first == second


def cuts(folder: Path, work: Callable[[Path], object]) -> int:
    """How many changes `work` makes in a fresh folder."""
    power = PowerDisk(folder)
    with power.watched():
        work(folder)
    return len(power.operations)


@LOSSES
def test_a_ledger_is_founded_whole_or_not_at_all(tmp_path: Path, loss: Loss) -> None:
    chain = stub_chain(1)

    def found(folder: Path) -> None:
        Ledger.create(folder, genesis(chain.contract, chain.keys)).close()

    count = cuts(tmp_path / "whole", found)
    assert count > 30
    for number in range(count + 1):
        folder = tmp_path / f"{number}"
        power, is_promised = cut_at(number, folder, found, loss=loss)
        with power.watched():
            if not is_promised and not (folder / DATABASE_NAME).exists():
                found(folder)
            with Ledger.open(folder, genesis=genesis(chain.contract, chain.keys)) as ledger:
                assert_appends(ledger, chain)


@LOSSES
def test_a_body_is_stored_whole_or_not_at_all(tmp_path: Path, loss: Loss) -> None:
    bodies = [bytes([number]) * 3_000 for number in range(3)]
    promised: list[bytes] = []

    def store(folder: Path) -> None:
        promised.clear()
        blobs = Blobs(folder)
        promised.extend(map(blobs.put, bodies))

    count = cuts(tmp_path / "whole", store)
    assert count > 12
    for number in range(count + 1):
        folder = tmp_path / f"{number}"
        cut_at(number, folder, store, loss=loss)
        found = Blobs(folder)

        assert set(promised) <= found.ids() <= {body_id(body) for body in bodies}
        for blob in found.ids():
            assert found.get(blob) in bodies


def cut_at(
    number: int, folder: Path, work: Callable[[Path], object], *, loss: Loss
) -> tuple[PowerDisk, bool]:
    """Let the power go at one change of `work`, or after all; what is left is in the folder.

    Returns:
        The disk, and whether `work` said that it was done.
    """
    folder.mkdir()
    power = PowerDisk(folder)
    power.fail_at = number
    is_done = False
    with power.watched(), suppress(StorageError):
        work(folder)
        is_done = True
    power.restore(loss, Random(f"{number} {loss}"))
    return power, is_done


def assert_appends(ledger: Ledger, chain: Chain) -> None:
    ledger.append(chain.blocks[0], chain.certificates[0], chain.states[1])
    assert ledger.head == 1

"""Long campaigns in slices: each a line in a file, and only those of the present program count."""

import csv
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.simulation.runner import CHUNK, SeedResult, run_seed
from tests.simulation.settings import Profile

EVERYWHERE: Final = ("consensus", "ledger", "tests/simulation", "tests/byzantine/actors")
SOURCES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "consensus": EVERYWHERE,
        "full": (*EVERYWHERE, "fednode/aggregation", "fednode/blockwork.py"),
        "twins-4": (*EVERYWHERE, "tests/twins"),
        "twins-7": (*EVERYWHERE, "tests/twins"),
        "twins-10": (*EVERYWHERE, "tests/twins"),
    }
)
"""What a campaign of each kind tests, and what it tests it with: folders and files."""
HASH_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One line of the file.

    Attributes:
        kind: One of `SOURCES`; the number after `twins-` is that of the members.
        from_seed: The first seed, or with four twins the first state before the last stage.
        scenarios: What the seeds drew: one each, with twins many.
        heights: Decisions; with twins those before the network healed, of distinct states.
        views: Views entered beyond the first of a height; with twins the states with one.
        engine: Hash of the sources.
    """

    date: str
    kind: str
    from_seed: int
    to_seed: int
    seeds: int
    scenarios: int
    heights: int
    views: int
    violations: int
    seconds: int
    commit: str
    engine: str


COLUMNS: Final = tuple(each.name for each in fields(Slice))


def engine_hash(root: Path, kind: str) -> str:
    """The hash of the sources that a campaign tests and is made of: paths and contents, sorted.

    Tests in the same folders do not count: no campaign runs them.
    """
    digest = sha256()
    for source in SOURCES[kind]:
        place = root / source
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            if path.name.startswith("test_"):
                continue
            content = path.read_bytes()
            name = path.relative_to(root).as_posix()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:HASH_DIGITS]


def engine_hashes(root: Path) -> dict[str, str]:
    """The hash of the present sources for each kind."""
    return {kind: engine_hash(root, kind) for kind in SOURCES}


def read_slices(path: Path) -> tuple[Slice, ...]:
    """The slices in a file, none if there is none.

    Raises:
        ValueError: If a line is not one of ours.
    """
    if not path.exists():
        return ()
    with path.open(newline="") as lines:
        return tuple(_slice(row) for row in csv.DictReader(lines, strict=True))


def append_slice(path: Path, done: Slice) -> None:
    """Add a line; the first one comes after the names of the columns."""
    is_new = not path.exists()
    with path.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(done))


def counting(slices: Iterable[Slice], *, engines: Mapping[str, str]) -> Iterator[Slice]:
    """The slices that say something about the present program, by its hashes of each kind."""
    return (each for each in slices if each.engine == engines.get(each.kind))


def next_seed(slices: Iterable[Slice], *, kind: str, engine: str) -> int:
    """The seed after the last one that counts, 0 at first."""
    ends = [each.to_seed for each in counting(slices, engines={kind: engine})]
    return max(ends, default=-1) + 1


def summary(slices: Iterable[Slice], *, engines: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Seeds, scenarios, heights, views and violations of each kind, every seed counted once."""
    totals: dict[str, Counter[str]] = {}
    reached: dict[str, set[int]] = {}
    for each in counting(slices, engines=engines):
        kind = totals.setdefault(each.kind, Counter())
        seen = reached.setdefault(each.kind, set())
        seen.update(range(each.from_seed, each.to_seed + 1))
        kind.update(heights=each.heights, views=each.views, violations=each.violations, slices=1)
        kind.update(scenarios=each.scenarios)
        kind["seeds"] = len(seen)
    return totals


def run_seeds(
    first: int, *, profile: Profile, heights: int, jobs: int, is_over: Callable[[int], bool]
) -> Iterator[SeedResult]:
    """Yield the results of the seeds from `first` on, in order, until `is_over` (of their number).

    Whole batches are run: as many seeds as keep all processes busy for a few seconds.
    """
    work = partial(run_seed, heights=heights, profile=profile)
    batch = jobs * CHUNK * 4
    done = 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        while not is_over(done):
            seeds = range(first + done, first + done + batch)
            yield from pool.imap(work, seeds, chunksize=CHUNK)
            done += batch


def _slice(row: dict[str, str]) -> Slice:
    return Slice(
        date=row["date"],
        kind=row["kind"],
        from_seed=int(row["from_seed"]),
        to_seed=int(row["to_seed"]),
        seeds=int(row["seeds"]),
        scenarios=int(row["scenarios"]),
        heights=int(row["heights"]),
        views=int(row["views"]),
        violations=int(row["violations"]),
        seconds=int(row["seconds"]),
        commit=row["commit"],
        engine=row["engine"],
    )

"""Campaigns with twins, in slices that end in time and can be continued."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from tests.simulation.mutants import MUTANTS
from tests.twins.network import Network, Terms
from tests.twins.sampling import sample
from tests.twins.tree import (
    Branch,
    BrokenPromiseError,
    Level,
    covered,
    first_level,
    heal,
    next_level,
)

FOUR: Final = Terms(powers=(1, 1, 1, 1), twins=(0,), has_free_order=True)
"""Three honest members, one with a twin, and proposers in every order."""
FOUR_NAMED: Final = replace(FOUR, has_all_names=True)
CHUNK: Final = 100
"""States whose last stage is explored, and compared, together."""


@dataclass(slots=True, kw_only=True)
class Slice:
    """What a slice of a campaign did.

    Attributes:
        begin: The first state or seed.
        end: Where the next slice begins.
        size: Where the last slice ends.
        counts: `scenarios` covered, `runs` of stages, distinct `states` at the end, of these with
            `views` beyond the first and with a block `decided` before the network healed.
        broken: What was found, with the scenario and, for samples, the seed.
    """

    begin: int
    end: int
    size: int
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def explore(stages: int, *, begin: int, seconds: float, jobs: int, terms: Terms = FOUR) -> Slice:
    """Explore all scenarios at n=4, from a state before the last stage on.

    The stages before the last one are explored first in any case; only then is `seconds` looked at.

    Raises:
        BrokenPromiseError: If a stage before the last one breaks a promise.
    """
    started = time.monotonic()
    network = Network(terms)
    with network.at_work():
        level, before = levels(network, stages - 1)
        done = Slice(begin=begin, end=begin, size=len(level.branches))
        if begin == 0:
            done.counts["scenarios"] = level.over * scenarios_per_stage(terms)
            done.counts["runs"] = before
        starts = range(begin, done.size, CHUNK)
        work = partial(_explore_chunk, network, level)
        for start, (counts, broken) in _in_time(work, starts, started + seconds, jobs):
            done.end = min(start + CHUNK, done.size)
            done.counts.update(counts)
            done.broken += broken
    return done


def scenarios_per_stage(terms: Terms) -> int:
    """In how many ways a stage can be: who leads, and two sides."""
    sides: int = 1 << (len(terms.replicas) - 1)
    return len(terms.powers) * sides


def levels(network: Network, stages: int) -> tuple[Level, int]:
    """The states after some stages, and how many stages were run to get there."""
    level = first_level(network)
    runs = 0
    for _ in range(stages):
        level = next_level(level, network)
        runs += level.runs
    return level, runs


def _explore_chunk(network: Network, level: Level, start: int) -> tuple[Counter[str], list[str]]:
    """The last stage of some states, and healing after it."""
    counts: Counter[str] = Counter()
    some = Level(branches=level.branches[start : start + CHUNK], over=0, runs=0)
    try:
        last = next_level(some, network)
        counts["scenarios"] = covered(last, network.terms)
        counts["runs"] = last.runs
        for branch in last.branches:
            _heal(branch, counts)
    except BrokenPromiseError as error:
        return counts, [str(error)]
    return counts, []


def _heal(branch: Branch, counts: Counter[str]) -> None:
    counts["states"] += 1
    counts["views"] += branch.world.view > 0
    counts["decided"] += branch.world.decided is not None
    heal(branch)


def draw(nodes: int, *, seeds: range, seconds: float, jobs: int) -> Slice:
    """Run drawn scenarios of a larger network."""
    started = time.monotonic()
    done = Slice(begin=seeds.start, end=seeds.start, size=seeds.stop)
    work = partial(run_seed, nodes)
    for seed, (counts, broken) in _in_time(work, seeds, started + seconds, jobs):
        done.end = seed + 1
        done.counts.update(counts)
        done.broken += broken
    return done


def run_seed(nodes: int, seed: int, *, mutant: str | None = None) -> tuple[Counter[str], list[str]]:
    """Run the scenarios of one seed, with a planted fault when asked."""
    try:
        with planted(mutant):
            return sample(nodes, seed), []
    except BrokenPromiseError as error:
        return Counter(), [f"seed {seed}: {error}"]


def planted(mutant: str | None) -> AbstractContextManager[None]:
    """With a fault planted, or with none."""
    return MUTANTS[mutant]() if mutant else nullcontext()


def _in_time(
    work: Callable[[int], tuple[Counter[str], list[str]]],
    starts: Sequence[int],
    deadline: float,
    jobs: int,
) -> Iterator[tuple[int, tuple[Counter[str], list[str]]]]:
    """Yield what `work` finds, in order, until it is late."""
    if jobs == 1:
        for start in starts:
            if time.monotonic() > deadline:
                return
            yield start, work(start)
        return
    # Forked processes know the states that were found so far, which are too large to be sent.
    with multiprocessing.get_context("fork").Pool(jobs, _set_work, (work,)) as pool:
        for first in range(0, len(starts), 2 * jobs):
            if time.monotonic() > deadline:
                return
            some = starts[first : first + 2 * jobs]
            yield from zip(some, pool.map(_do_work, some, chunksize=1), strict=True)


_work: list[Callable[[int], tuple[Counter[str], list[str]]]] = []


def _set_work(work: Callable[[int], tuple[Counter[str], list[str]]]) -> None:
    _work[:] = [work]


def _do_work(start: int) -> tuple[Counter[str], list[str]]:
    return _work[0](start)

"""Runs many seeds on several processes and sums up what they did."""

import gc
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from tests.simulation.mutants import MUTANTS
from tests.simulation.packets import ViolationError
from tests.simulation.settings import Profile, draw_settings
from tests.simulation.world import Outcome, simulate

TWICE_EVERY = 100
"""One seed in so many runs twice and must give the same hash of all events."""
MUST_HAPPEN = (
    "heights",
    "views",
    "certificates",
    "crashes",
    "dropped",
    "caught_up",
    "banned",
    "late_updates",
    "metrics",
    "returns",
    "closings",
    "slanders",
    "stumbles",
)
"""A campaign in which one of these never happened tested nothing and fails."""
FULL_MUST_HAPPEN = ("learned", "flagged", "garbage")
"""The same where all seeds are full: models nearer to the answer, outliers, false bodies."""
CHUNK = 8
COLLECT_EVERY = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """What became of one seed; `failure` is None when every promise held."""

    seed: int
    failure: str | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What became of a range of seeds; `slowest_ms` is the longest healed phase (virtual time)."""

    seeds: int
    failures: tuple[SeedResult, ...]
    totals: Counter[str]
    slowest_ms: int
    profile: Profile = "mixed"

    @property
    def missing(self) -> tuple[str, ...]:
        """What must happen in some run and happened in none."""
        wanted = MUST_HAPPEN + (FULL_MUST_HAPPEN if self.profile == "full" else ())
        return tuple(name for name in wanted if not self.totals[name])


def run_seed(
    seed: int,
    *,
    heights: int,
    profile: Profile = "mixed",
    mutant: str | None = None,
    trace: Callable[[str], None] | None = None,
) -> SeedResult:
    """Run one seed, every hundredth twice."""
    settings = draw_settings(seed, heights=heights, profile=profile)
    # Worlds are full of cycles and short-lived: one collection for many of them is cheaper.
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    gc.disable()
    try:
        with MUTANTS[mutant]() if mutant else nullcontext():
            outcome = simulate(settings, trace=trace)
            if seed % TWICE_EVERY == 0:
                _check_same(outcome, simulate(settings))
    except ViolationError as error:
        return SeedResult(seed=seed, failure=str(error), outcome=None)
    except Exception:  # noqa: BLE001  # a crash of the engine is a finding; its seed must be named
        return SeedResult(seed=seed, failure=traceback.format_exc(), outcome=None)
    finally:
        gc.enable()
    return SeedResult(seed=seed, failure=None, outcome=outcome)


def _check_same(first: Outcome, second: Outcome) -> None:
    if first != second:
        raise ViolationError(f"determinism: {first} then {second}")


def results(
    seeds: range,
    *,
    heights: int,
    jobs: int,
    profile: Profile = "mixed",
    mutant: str | None = None,
) -> Iterator[SeedResult]:
    """Yield the results of all seeds in order, computed on `jobs` processes."""
    work = partial(run_seed, heights=heights, profile=profile, mutant=mutant)
    if jobs == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(work, seeds, chunksize=CHUNK)


def campaign(seeds: range, *, heights: int, jobs: int, profile: Profile = "mixed") -> Campaign:
    """Run all seeds to the end and sum up."""
    totals: Counter[str] = Counter()
    failures = []
    slowest_ms = 0
    for result in results(seeds, heights=heights, jobs=jobs, profile=profile):
        if result.outcome is None:
            failures.append(result)
        else:
            totals.update(result.outcome.counts)
            slowest_ms = max(slowest_ms, result.outcome.healed_ms)
    return Campaign(
        seeds=len(seeds),
        failures=tuple(failures),
        totals=totals,
        slowest_ms=slowest_ms,
        profile=profile,
    )


def first_kill(
    mutant: str, *, seeds: range, heights: int, jobs: int
) -> tuple[int, SeedResult] | None:
    """Return how many seeds it took to find a mutant, and the failure; None if it survived."""
    runs = results(seeds, heights=heights, jobs=jobs, mutant=mutant)
    for number, result in enumerate(runs, start=1):
        if result.failure is not None:
            return number, result
    return None

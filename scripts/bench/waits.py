"""Print as JSON what waits that adapt change in simulated networks, against the contract's waits.

Two scenarios, each with the same seeds with and without adaption (rule P36):

- slow: links take longer than what the contract waits for votes. Counted are the views above 0 that
  anybody entered, and the time per height.
- dead: on quick links one member stops for good after some heights. Measured is how long heights
  take in which it should propose first: the first of these, all, and the others.

Example: scripts/bench/waits.py --seeds 10
"""

import argparse
import json
import sys
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from consensus.effects import TimerKind
from consensus.pace import Pace, contract_ms
from consensus.timeouts import grown_ms
from ledger.election import schedule
from tests.simulation.contracts import TIMEOUTS
from tests.simulation.patching import attribute_replaced
from tests.simulation.settings import Settings
from tests.simulation.sharing import shared_results
from tests.simulation.world import HEALED_MS_PER_HEIGHT, World

MEMBERS = 7
SLOW_MS = 500
"""Mean delay of a link, of up to twice that, where the contract waits 400 ms for votes."""
QUICK_MS = 10
DEAD = 0
HEIGHTS_BEFORE = 30
HEIGHTS = 30


def main() -> int:
    """Run both scenarios with and without adaption and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="networks of each scenario (10)")
    seeds = range(parser.parse_args().seeds)
    report: dict[str, dict[str, dict[str, float]]] = {"slow": {}, "dead": {}}
    for name, waits in (("contract", contract_waits()), ("adapted", nullcontext())):
        with waits, shared_results():
            report["slow"][name] = slow(seeds)
            report["dead"][name] = dead(seeds)
    terms = {"propose_ms": TIMEOUTS.propose_ms, "prepare_ms": TIMEOUTS.prepare_ms}
    print(json.dumps({"members": MEMBERS, "networks": len(seeds), **terms, **report}, indent=1))
    return 0


def contract_waits() -> AbstractContextManager[None]:
    """Let nothing adapt: waits grow from those of the contract."""

    def wait_ms(_: Pace, kind: TimerKind, view: int, __: int) -> int:
        return grown_ms(contract_ms(TIMEOUTS, kind), view, TIMEOUTS.view_max_ms)

    return attribute_replaced(Pace, "wait_ms", wait_ms)


def slow(seeds: range) -> dict[str, float]:
    """Decide on slow links, after some heights in which waits can adapt."""
    totals: Counter[str] = Counter()
    for seed in seeds:
        world = started(seed, SLOW_MS)
        decide(world, HEIGHTS_BEFORE)
        began = world.now
        decide(world, HEIGHTS)
        entered = {view for view in world.checkers.views if view[0] > HEIGHTS_BEFORE}
        later = {height for height, view in entered if view > 0}
        totals.update(heights=HEIGHTS, ms=world.now - began, later=len(later))
        totals.update(views=sum(1 for _, view in entered if view > 0))
    return {
        "views_above_0_per_100_heights": round(100 * totals["views"] / totals["heights"], 1),
        "heights_beyond_view_0_percent": round(100 * totals["later"] / totals["heights"], 1),
        "ms_per_height": round(totals["ms"] / totals["heights"]),
    }


def dead(seeds: range) -> dict[str, float]:
    """Decide on quick links, then without one member."""
    totals: Counter[str] = Counter()
    for seed in seeds:
        world = started(seed, QUICK_MS)
        decide(world, HEIGHTS_BEFORE)
        world.nodes[DEAD].leave()
        world.honest = tuple(each for each in world.honest if each != DEAD)
        has_led = False
        for _ in range(HEIGHTS):
            state = world.nodes[world.honest[0]].disk.state
            is_led = schedule(world.contract, state)[0] == DEAD
            began = world.now
            decide(world, 1)
            names = ["led" if is_led else "other"]
            if is_led and not has_led:
                has_led = True
                names.append("first")
            for name in names:
                totals.update({name: 1, f"{name}_ms": world.now - began})
    return {
        "heights_of_the_dead": totals["led"],
        "ms_of_the_first": round(totals["first_ms"] / totals["first"]),
        "ms_per_height_of_the_dead": round(totals["led_ms"] / totals["led"]),
        "ms_per_other_height": round(totals["other_ms"] / totals["other"]),
    }


def started(seed: int, delay_ms: int) -> World:
    """A network without faults that is up."""
    world = World(
        Settings(
            seed=seed,
            validators=MEMBERS,
            byzantine_budget=2,
            trainer_budget=2,
            samples=(100,) * MEMBERS,
            skews_ms=(0,) * MEMBERS,
            delay_ms=delay_ms,
        )
    )
    world.start()
    return world


def decide(world: World, heights: int) -> None:
    """Let all honest members decide so many more heights."""
    world.aim(max(world.nodes[member].height for member in world.honest) + heights)
    world.run_until(world.is_reached, within_ms=heights * HEALED_MS_PER_HEIGHT)


if __name__ == "__main__":
    sys.exit(main())

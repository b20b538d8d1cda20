"""The newcomer's network: fixed data, five members, one liar."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from fednode.clock import SystemClock
from fednode.founding.contracts import ContractOptions
from fednode.learning.presets import DEMO
from fednode.testnet.display import Display
from fednode.testnet.folders import fresh_folder, local_time
from fednode.testnet.founders import UNKNOWN_BROKER, found_network
from fednode.testnet.model_check import check_model
from fednode.testnet.network import RunRequest, compare, run_network
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from fednode.testnet.report import Report
from fednode.testnet.view import NetworkView
from ledger.genesis import Contract

DEMO_TIMEOUTS: Final = replace(LOCAL_TIMEOUTS, collect_ms=15_000)
"""Nobody dies here, so every height waits for every hospital: a laptop that is busy with other
things still gives the same model."""
LIAR: Final = 3
ATTACK: Final = f"sign-flip:10@{LIAR}"


def run_demo(
    folder: Path | None, plan: NetworkPlan, show: Callable[[NetworkView, Contract], Display]
) -> Report:
    """Make, run, audit and judge the network of the demonstration.

    Args:
        folder: Where; None for a new folder below `runs/`.
        plan: What it is to be like.
        show: Makes the display.

    Raises:
        ConfigError: If the folder is used already.
        NodeError: If the embedded broker does not start.
    """
    place = fresh_folder(folder, "demo", local_time)
    found_network(place, plan, UNKNOWN_BROKER)
    request = RunRequest(folder=place, broker=None, kills=(), show=show, clock=SystemClock())
    report = run_network(request)
    if report.problems or report.record.is_interrupted:
        return report
    return compare(check_model(report))


def demo_plan(seed: int, rule: str, *, hold_out: float = 0.0) -> NetworkPlan:
    """Return the plan of the demonstration.

    Args:
        seed: Seed of the split and of training.
        rule: Name of the aggregation rule.
        hold_out: Share of its rows on which each hospital judges models.
    """
    settings = DEMO.settings
    return NetworkPlan(
        data=replace(DEMO.data, seed=seed),
        names=tuple(f"hospital-{number}" for number in range(DEMO.data.sites)),
        attackers=(ATTACK,),
        hold_out=hold_out,
        options=ContractOptions(
            name="fednode demo",
            model=settings.model,
            training_rounds=DEMO.training_rounds,
            rule=rule,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            worker_momentum=settings.worker_momentum,
            batch_size=settings.batch_size,
            local_steps=settings.local_steps,
            seed=seed,
            timeouts=DEMO_TIMEOUTS,
        ),
    )

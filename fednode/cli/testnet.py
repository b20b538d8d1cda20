"""`fednode testnet`: a network of real nodes on this computer, on data of the user's choice."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fednode.cli import contract_options as terms
from fednode.cli import data_options as columns
from fednode.cli import testnet_options as option
from fednode.cli.network_run import EventsOption, announce, chooser, finish
from fednode.cli.output import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fednode.config import BrokerSection
    from fednode.testnet.folders import NetworkFolder
    from fednode.testnet.plan import Kill, NetworkPlan

DEFAULT_NODES = 4
DEFAULT_MODEL = "logistic"
DEFAULT_DATA = "sklearn:breast_cancer"
TEST_FRACTION = 0.2
ALLOWED_WITH_RESUME = frozenset(
    {"folder", "resume", "kill", "broker", "username", "password_file", "ca_file", "as_json",
     "events"}
)  # fmt: skip


def run_testnet(
    context: typer.Context,
    *,
    nodes: option.Nodes = None,
    training_rounds: terms.TrainingRounds = 10,
    data: option.Data = DEFAULT_DATA,
    label: columns.Label = "",
    positive: columns.Positive = "",
    categorical: columns.Categorical = "",
    drop: columns.Drop = "",
    drop_missing_rows: columns.DropMissingRows = False,
    allow_one_class: columns.AllowOneClass = False,
    site_column: columns.SiteColumn = "",
    hold_out: columns.HoldOut = 0.0,
    split: option.Split = "",
    attack: option.Attack = None,
    rule: terms.Rule = "nnm-geometric-median",
    model: terms.Model = None,
    learner: terms.Learner = "",
    optimizer: terms.Optimizer = "sgd",
    learning_rate: terms.LearningRate = 0.1,
    batch_size: terms.BatchSize = 16,
    local_steps: terms.LocalSteps = 50,
    seed: terms.Seed = 0,
    kill: option.Kill = None,
    broker: option.Broker = "",
    username: option.Username = "",
    password_file: option.PasswordFile = None,
    ca_file: option.AuthoritiesFile = None,
    folder: option.Folder = None,
    resume: option.Resume = False,
    as_json: JsonOption = False,
    events: EventsOption = False,
) -> None:
    """Run a network of real nodes on this computer until its last training round; audit it.

    A fifth of the rows is held out before they are divided, and every model is judged on it.

    Example: fednode testnet --nodes 7 --training-rounds 20 --attack sign-flip:10@3 --kill 2@5

    Example: fednode testnet --resume --dir runs/testnet-20260301-101500
    """
    own_broker = _broker(broker, username, password_file, ca_file)
    kills = _kills(kill or [])
    if resume:
        place = _resumed(context, folder)
    else:
        described: dict[str, Any] = {
            "source": data, "label": label, "positive": positive, "site_column": site_column,
            "categorical": columns.split_names(categorical), "split": split, "seed": seed,
            "drop_columns": columns.split_names(drop), "drop_missing_rows": drop_missing_rows,
            "allow_one_class": allow_one_class,
        }  # fmt: skip
        chosen = _learning(model, learner, optimizer) | {
            "training_rounds": training_rounds, "rule": rule, "learning_rate": learning_rate,
            "batch_size": batch_size, "local_steps": local_steps, "seed": seed,
        }  # fmt: skip
        plan = _plan(described, chosen, nodes, attack or [], hold_out=hold_out)
        place = _founded(folder, plan, own_broker)
    _run(place, own_broker, kills, as_json=as_json, events=events)


def _learning(model: str | None, learner: str, optimizer: str) -> dict[str, Any]:
    name, file = terms.chosen_model(model, learner)
    return {"model": name or DEFAULT_MODEL, "learner_file": file, "optimizer": optimizer}


def _plan(
    described: dict[str, Any],
    chosen: dict[str, Any],
    nodes: int | None,
    attackers: list[str],
    *,
    hold_out: float,
) -> "NetworkPlan":
    from fednode.founding.contracts import ContractOptions
    from fednode.learning.data_spec import DataSpec
    from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan

    has_sites = bool(described["site_column"])
    count = nodes or (1 if has_sites else DEFAULT_NODES)
    described["split"] = described["split"] or ("" if has_sites else "iid")
    return NetworkPlan(
        data=DataSpec(**described, sites=count, test_fraction=TEST_FRACTION),
        options=ContractOptions(**chosen, name="fednode testnet", timeouts=LOCAL_TIMEOUTS),
        names=() if has_sites else tuple(f"hospital-{number}" for number in range(count)),
        hold_out=hold_out,
        attackers=tuple(attackers),
    )


def _run(
    place: "NetworkFolder",
    broker: "BrokerSection | None",
    kills: "tuple[Kill, ...]",
    *,
    as_json: bool,
    events: bool,
) -> None:
    from fednode.clock import SystemClock
    from fednode.testnet.model_check import check_model
    from fednode.testnet.network import RunRequest, run_network
    from fednode.testnet.summary import interrupted_lines, network_lines

    announce(f"The network is in {place.root}", as_json=as_json, events=events)
    request = RunRequest(
        folder=place,
        broker=broker,
        kills=kills,
        show=chooser(as_json=as_json, events=events),
        clock=SystemClock(),
    )
    report = run_network(request)
    if not report.record.is_interrupted:
        report = check_model(report)
    lines = interrupted_lines if report.record.is_interrupted else network_lines
    finish(report, lines(report), as_json=as_json, events=events)


def _broker(
    url: str, username: str, password_file: Path | None, ca_file: Path | None
) -> "BrokerSection | None":
    from fednode.testnet.founders import broker_section
    from fednode.transport.settings import BrokerSettings

    if not url:
        if username or password_file or ca_file:
            raise typer.BadParameter("expected --broker with login or TLS files, got none")
        return None
    return broker_section(
        BrokerSettings(url=url, username=username, password_file=password_file, ca_file=ca_file)
    )


def _kills(texts: list[str]) -> "tuple[Kill, ...]":
    from fednode.testnet.plan import parse_kill

    return tuple(parse_kill(text) for text in texts)


def _founded(
    folder: Path | None, plan: "NetworkPlan", broker: "BrokerSection | None"
) -> "NetworkFolder":
    from fednode.testnet.folders import fresh_folder, local_time
    from fednode.testnet.founders import UNKNOWN_BROKER, found_network

    place = fresh_folder(folder, "testnet", local_time)
    found_network(place, plan, broker or UNKNOWN_BROKER)
    return place


def _resumed(context: typer.Context, folder: Path | None) -> "NetworkFolder":
    from fednode.testnet.folders import used_folder

    if folder is None:
        raise typer.BadParameter("expected --dir with --resume: which network is to go on?")
    if others := sorted(_given(context) - ALLOWED_WITH_RESUME):
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise typer.BadParameter(
            f"expected no {names} with --resume: the contract in {folder} holds the terms"
        )
    return used_folder(folder)


def _given(context: typer.Context) -> set[str]:
    """Return the names of the parameters that the user gave."""
    sources: Iterable[tuple[str, object]] = (
        (name, context.get_parameter_source(name)) for name in context.params
    )
    return {name for name, source in sources if getattr(source, "name", "") == "COMMANDLINE"}

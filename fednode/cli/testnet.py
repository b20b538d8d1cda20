"""`fednode testnet`: a network of real nodes on this computer, on data of the user's choice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli import contract_options as terms
from fednode.cli import data_options as columns
from fednode.cli.network_run import EventsOption, announce, chooser, finish
from fednode.cli.output import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fednode.config import BrokerSection
    from fednode.learning.data_spec import DataSpec
    from fednode.testnet.folders import NetworkFolder
    from fednode.testnet.plan import NetworkPlan

DEFAULT_NODES = 4
DEFAULT_DATA = "sklearn:breast_cancer"
TEST_FRACTION = 0.2
ALLOWED_WITH_RESUME = frozenset(
    {"folder", "resume", "kill", "broker", "username", "password_file", "ca_file", "as_json",
     "events"}
)  # fmt: skip

FileOption = Annotated[Path | None, typer.Option(metavar="FILE")]


def run_testnet(
    context: typer.Context,
    *,
    nodes: Annotated[
        int | None, typer.Option(help="How many members; left out: 4, or one per site.", min=1)
    ] = None,
    training_rounds: terms.TrainingRounds = 10,
    data: Annotated[
        str, typer.Option(help="CSV or npz file, or sklearn:NAME.", metavar="FILE")
    ] = DEFAULT_DATA,
    label: columns.Label = "",
    positive: columns.Positive = "",
    categorical: columns.Categorical = "",
    drop: columns.Drop = "",
    drop_missing_rows: columns.DropMissingRows = False,
    site_column: columns.SiteColumn = "",
    split: Annotated[
        str, typer.Option(help="Divide the rows: iid, or dirichlet:ALPHA for unlike sites.")
    ] = "",
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Let a member lie, as in sign-flip:10@3; may be repeated."),
    ] = None,
    rule: terms.Rule = "nnm-geometric-median",
    model: terms.Model = "logistic",
    learning_rate: terms.LearningRate = 0.1,
    batch_size: terms.BatchSize = 16,
    local_steps: terms.LocalSteps = 50,
    seed: terms.Seed = 0,
    kill: Annotated[
        list[str] | None,
        typer.Option(help="Kill member M after height H and start it again: M@H; repeatable."),
    ] = None,
    broker: Annotated[
        str, typer.Option(help="Broker that runs already; left out: an own one.", metavar="URL")
    ] = "",
    username: Annotated[str, typer.Option(help="Login name at the broker.")] = "",
    password_file: FileOption = None,
    ca_file: FileOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder of the network; left out: below ./runs.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the network in --dir.")
    ] = False,
    as_json: JsonOption = False,
    events: EventsOption = False,
) -> None:
    """Run a network of real nodes on this computer until its last training round; audit it.

    A fifth of the rows is held out before they are divided, and every model is judged on it.

    Example: fednode testnet --nodes 7 --training-rounds 20 --attack sign-flip:10@3 --kill 2@5

    Example: fednode testnet --data cohort.csv --label died --site-column hospital --model mlp

    Example: fednode testnet --resume --dir runs/testnet-20260301-101500
    """
    from fednode.clock import SystemClock
    from fednode.founding.contracts import ContractOptions
    from fednode.learning.data_spec import DataSpec
    from fednode.testnet.model_check import check_model
    from fednode.testnet.network import RunRequest, run_network
    from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan, parse_kill
    from fednode.testnet.summary import interrupted_lines, network_lines

    spec = DataSpec(
        source=data,
        label=label,
        positive=positive,
        categorical=columns.split_names(categorical),
        drop_columns=columns.split_names(drop),
        drop_missing_rows=drop_missing_rows,
        site_column=site_column,
        split=split or ("" if site_column else "iid"),
        seed=seed,
        test_fraction=TEST_FRACTION,
    )
    options = ContractOptions(
        name="fednode testnet",
        model=model,
        training_rounds=training_rounds,
        rule=rule,
        learning_rate=learning_rate,
        batch_size=batch_size,
        local_steps=local_steps,
        seed=seed,
        timeouts=LOCAL_TIMEOUTS,
    )
    plan = NetworkPlan(
        data=_with_sites(spec, nodes),
        options=options,
        names=() if site_column else _names(nodes or DEFAULT_NODES),
        attackers=tuple(attack or ()),
    )
    own_broker = _broker(broker, username, password_file, ca_file)
    kills = tuple(parse_kill(text) for text in kill or ())
    place = _resumed(context, folder) if resume else _founded(folder, plan, own_broker)
    announce(f"The network is in {place.root}", as_json=as_json, events=events)
    request = RunRequest(
        folder=place,
        broker=own_broker,
        kills=kills,
        show=chooser(as_json=as_json, events=events),
        clock=SystemClock(),
    )
    report = run_network(request)
    if not report.record.is_interrupted:
        report = check_model(report)
    lines = interrupted_lines if report.record.is_interrupted else network_lines
    finish(report, lines(report), as_json=as_json, events=events)


def _with_sites(spec: "DataSpec", nodes: int | None) -> "DataSpec":
    from dataclasses import replace

    if spec.site_column:
        return spec if nodes is None else replace(spec, sites=nodes)
    return replace(spec, sites=nodes or DEFAULT_NODES)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"hospital-{number}" for number in range(count))


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

"""A local network from its folder to its report: run, verify, judge, compare."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from fednode.clock import Clock
from fednode.config import BrokerSection, NodeConfig, load_config
from fednode.founding.genesis_files import load_genesis
from fednode.founding.initial_model import settings_of
from fednode.learning.baselines import Baselines, train_baselines
from fednode.testnet.display import Display
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.launcher import Launch, Launcher, RunRecord, StalledError
from fednode.testnet.plan import Kill, check_kills
from fednode.testnet.report import Report, read_heights
from fednode.testnet.scoring import Scorer, make_scorer
from fednode.testnet.site_files import load_rows
from fednode.testnet.verification import check_ledgers
from fednode.testnet.view import NetworkView
from ledger.errors import StorageError
from ledger.genesis import Contract, Genesis
from ledger.lock import FolderLock
from ledger.store import DATABASE_NAME, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A founded network that is to run.

    Attributes:
        broker: How its members reach the broker; None starts the embedded one.
        kills: Nodes to kill and start again.
        show: Makes the display from what is known at the start.
    """

    folder: NetworkFolder
    broker: BrokerSection | None
    kills: tuple[Kill, ...]
    show: Callable[[NetworkView, Contract], Display]
    clock: Clock


def run_network(request: RunRequest) -> Report:
    """Run a network until its last training round, then audit every ledger offline.

    A network that ran before goes on from its ledgers, without a coordinator (rule P82).

    Raises:
        ConfigError: If a file of the network is wrong.
        DataError: If the held-out rows cannot be read.
        NodeError: If the embedded broker does not start.
        StorageError: If another launcher runs this network.
    """
    folder = request.folder
    genesis = load_genesis(folder.genesis)
    contract = genesis.contract
    check_kills(request.kills, len(contract.members))
    with FolderLock(folder.root):
        configs = tuple(load_config(folder.config(each.name)) for each in contract.members)
        scorer = make_scorer(folder, contract, configs[0])
        view = _view(folder, genesis, configs, request.clock)
        record, stopped = _run(request, contract, view, scorer)
        began = request.clock.monotonic_ms()
        checks = check_ledgers(folder, genesis)
        heights = read_heights(checks, scorer)
        record.seconds["verification"] = (request.clock.monotonic_ms() - began) / 1000
    return Report(
        folder=folder,
        genesis=genesis,
        record=record,
        checks=checks,
        heights=heights,
        stopped=stopped,
    )


def compare(report: Report) -> Report:
    """Return the report with what the sites reach alone and with their rows pooled.

    Every member's own rows are read for that, which only a test network can do.
    """
    folder, contract = report.folder, report.genesis.contract
    names = [member.name for member in contract.members if member.is_trainer]
    config = load_config(folder.config(names[0]))
    features = contract.data.features
    baselines: Baselines = train_baselines(
        tuple(load_rows(folder.rows(name), config, features) for name in names),
        load_rows(folder.test_rows, config, features),
        settings_of(contract),
        contract.training_rounds,
    )
    return replace(report, baselines=baselines)


def _run(
    request: RunRequest, contract: Contract, view: NetworkView, scorer: Scorer | None
) -> tuple[RunRecord, str]:
    """Return what happened, and why the network could not finish if it could not."""
    if all(view.has_finished(number) for number, _ in enumerate(view.members)):
        return RunRecord(), ""
    with request.show(view, contract) as display:
        launch = Launch(
            folder=request.folder,
            contract=contract,
            broker=request.broker,
            kills=request.kills,
            scorer=scorer,
            display=display,
            clock=request.clock,
        )
        launcher = Launcher(launch, view)
        try:
            asyncio.run(launcher.run())
        except StalledError as error:
            return launcher.record, str(error)
    return launcher.record, ""


def _view(
    folder: NetworkFolder, genesis: Genesis, configs: tuple[NodeConfig, ...], clock: Clock
) -> NetworkView:
    contract = genesis.contract
    view = NetworkView(
        names=[member.name for member in contract.members],
        liars=[number for number, config in enumerate(configs) if config.test.attack],
        training_rounds=contract.training_rounds,
        started_s=clock.monotonic_ms() / 1000,
    )
    for number, member in enumerate(contract.members):
        state = folder.state(member.name)
        if not (state / DATABASE_NAME).exists():
            continue
        try:
            with Ledger.open(state, genesis=genesis, read_only=True) as ledger:
                height, training_round = ledger.head, ledger.state.training_round
        except StorageError:
            continue  # its node will say what is wrong
        event = {
            "event": "resumed",
            "member": number,
            "height": height,
            "training_round": training_round,
        }
        view.apply(event, clock.monotonic_ms() / 1000)
    return view

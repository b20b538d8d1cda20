"""What came of a run, as plain data for `--json` and for the summary."""

import os
from dataclasses import dataclass

from fednode.events import Plain
from fednode.learning.baselines import Baselines
from fednode.learning.learner import Metrics
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.launcher import RunRecord
from fednode.testnet.scoring import Scorer
from fednode.testnet.verification import LedgerCheck, are_identical, are_prefixes
from ledger.genesis import Genesis, chain_id
from ledger.records import Block, Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightRecord:
    """One committed height and what its model is worth on the held-out rows."""

    height: int
    training_round: int
    kind: str
    proposer: int
    view: int
    included: tuple[int, ...]
    flagged: tuple[int, ...]
    model_id: str
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished run.

    Attributes:
        stopped: Why the network could not finish; empty if it did.
        model_problems: What is wrong with the exported model file.
        metrics: Figures of the exported model on the held-out rows.
        baselines: What the sites alone and their pooled rows reach; None if not asked for.
    """

    folder: NetworkFolder
    genesis: Genesis
    record: RunRecord
    checks: tuple[LedgerCheck, ...]
    heights: tuple[HeightRecord, ...]
    stopped: str = ""
    model_problems: tuple[str, ...] = ()
    metrics: Metrics | None = None
    baselines: Baselines | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that did not hold."""
        found = [self.stopped] if self.stopped else []
        rounds = self.genesis.contract.training_rounds
        if not are_prefixes(self.checks):
            found.append("two ledgers hold different blocks of one height")
        for check in self.checks:
            found += [f"ledger of {check.name}: {finding}" for finding in check.findings]
            if check.training_round < rounds and not self.record.is_interrupted:
                found.append(f"{check.name} has {check.training_round} of {rounds} training rounds")
        return (*found, *self.model_problems)

    @property
    def model_id(self) -> str:
        """Id of the last model, as hexadecimal text."""
        if self.heights:
            return self.heights[-1].model_id
        return self.genesis.contract.model.initial_model_id.hex()


def read_heights(
    checks: tuple[LedgerCheck, ...], scorer: Scorer | None
) -> tuple[HeightRecord, ...]:
    """Return the heights of the longest ledger."""
    longest = max(checks, key=lambda check: check.height)
    return tuple(_height(block, scorer) for block in longest.blocks)


def report_data(report: Report) -> dict[str, Plain]:
    """Return a report as data for JSON."""
    record, contract = report.record, report.genesis.contract
    nodes: list[Plain] = [
        {
            "member": number,
            "name": member.name,
            "process_ids": list(record.node_processes.get(number, [])),
            "trainer_process_ids": list(record.trainer_processes.get(number, [])),
            "folder": str(report.folder.member(member.name)),
        }
        for number, member in enumerate(contract.members)
    ]
    ledgers: list[Plain] = [
        {
            "name": check.name,
            "height": check.height,
            "blocks_sha256": check.digest,
            "export": str(check.path),
            "holds": not check.findings,
        }
        for check in report.checks
    ]
    data: dict[str, Plain] = {
        "holds": not report.problems,
        "problems": list(report.problems),
        "is_interrupted": record.is_interrupted,
        "folder": str(report.folder.root),
        "chain_id": chain_id(contract).hex(),
        "rule": contract.aggregation.rule_id,
        "processes": {
            "launcher": os.getpid(),
            "broker": record.broker_process,
            "nodes": nodes,
        },
        "broker_url": record.broker_url,
        "training_rounds": contract.training_rounds,
        "heights": [_height_data(each) for each in report.heights],
        "model_id": report.model_id,
        "metrics": None if report.metrics is None else dict(report.metrics),
        "ledgers": ledgers,
        "ledgers_identical": are_identical(report.checks),
        "seconds": {name: round(value, 3) for name, value in record.seconds.items()},
    }
    if report.baselines is not None:
        data["comparison"] = {
            "alone_accuracy": [each["accuracy"] for each in report.baselines.alone],
            "pooled_accuracy": report.baselines.pooled["accuracy"],
        }
    return data


def _height(block: Block, scorer: Scorer | None) -> HeightRecord:
    header = block.header
    model_id = header.results.model_id.hex()
    metrics = None if scorer is None else scorer.score(model_id)
    return HeightRecord(
        height=header.height,
        training_round=header.training_round,
        kind=header.kind.name,
        proposer=header.proposer,
        view=header.created_view,
        included=tuple(each.trainer for each in header.results.contributions),
        flagged=tuple(
            each.trainer for each in header.results.contributions if each.flagged == Flag.OUTLIER
        ),
        model_id=model_id,
        accuracy=None if metrics is None else metrics.get("accuracy"),
    )


def _height_data(height: HeightRecord) -> dict[str, Plain]:
    return {
        "height": height.height,
        "training_round": height.training_round,
        "kind": height.kind,
        "proposer": height.proposer,
        "view": height.view,
        "included": list(height.included),
        "flagged": list(height.flagged),
        "model_id": height.model_id,
        "accuracy": height.accuracy,
    }

"""A recorded run aggregated again, under other kernels, threads and instruction sets.

`python -m tests.support.kernels FOLDER` prints the model ids of every rule as JSON; the environment
of that process decides how numpy and its BLAS compute.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from fednode.aggregation.gram import gram_matrix
from fednode.aggregation.rules import RULES, RuleSpec, aggregate, apply_delta
from fednode.assembly import BLOBS_NAME
from fednode.blockwork import load_model, rule_of
from ledger.blobs import Blobs
from ledger.bodies import decode_update_body, model_id
from ledger.genesis import Contract
from ledger.records import Block, BlockKind
from ledger.store import Ledger

ROOT = Path(__file__).resolve().parents[2]
# Instruction sets that a kernel needs, by the names in /proc/cpuinfo. A kernel without them kills
# the process.
KERNELS = {
    "Prescott": (),
    "Nehalem": ("sse4_2",),
    "Haswell": ("avx2", "fma"),
    "SkylakeX": ("avx512f",),
}
THREADS = (1, 2)
TIMEOUT_S = 120
OTHER_RULES_EVERY = 5
"""At how many heights another rule than the run's own aggregates once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """What one process computed.

    Attributes:
        kernel: The kernel that BLAS really used.
        models: By rule the model ids by height, as hexadecimal text.
        tables: Hashes of the tables of inner products by height: an inexact sum changes them at
            once, but a model only now and then.
    """

    kernel: str
    models: Mapping[str, Sequence[str]]
    tables: Sequence[str]


def environments() -> dict[str, dict[str, str]]:
    """Environments that this processor can run, by a name for people."""
    found = {
        f"{kernel}, {threads} thread{'s' * (threads > 1)}": {
            "OPENBLAS_CORETYPE": kernel,
            "OPENBLAS_NUM_THREADS": str(threads),
        }
        for kernel in usable_kernels()
        for threads in THREADS
    }
    found["numpy without AVX2 and AVX512"] = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched_features()),
        "OPENBLAS_NUM_THREADS": "1",
    }
    return found


def usable_kernels() -> tuple[str, ...]:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return tuple(kernel for kernel, needs in KERNELS.items() if flags.issuperset(needs))


def dispatched_features() -> tuple[str, ...]:
    """The instruction sets beyond its baseline for which numpy has code of its own here."""
    names = np._core._multiarray_umath.__cpu_dispatch__  # type: ignore[attr-defined]
    has = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    return tuple(name for name in names if has.get(name))


def recompute(folder: Path, environment: Mapping[str, str]) -> Recomputed:
    """Aggregate the updates in a member's folder again, in a process with this environment.

    Raises:
        subprocess.CalledProcessError: If the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kernels", str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    data = json.loads(done.stdout)
    return Recomputed(kernel=data["kernel"], models=data["models"], tables=data["tables"])


def recorded_models(folder: Path) -> tuple[str, tuple[str, ...]]:
    """The rule of the run in a member's folder, and its model ids by height."""
    with Ledger.open(folder, read_only=True) as ledger:
        contract = ledger.genesis.contract
        ids = tuple(block.header.results.model_id.hex() for block in aggregates(ledger))
    return rule_of(contract).rule_id, ids


def aggregates(ledger: Ledger) -> tuple[Block, ...]:
    blocks = ledger.blocks(1, ledger.head)
    return tuple(block for block in blocks if block.header.kind is BlockKind.AGGREGATE)


def rows_of(contract: Contract, block: Block, blobs: Blobs) -> list[NDArray[np.int32]]:
    """The updates that a block includes, in the order of its contributions."""
    headers = {update.statement.trainer: update.statement for update in block.updates}
    tensors = contract.model.tensors
    bodies = [
        blobs.get(headers[each.trainer].update_id) for each in block.header.results.contributions
    ]
    return [np.frombuffer(decode_update_body(each, tensors), "<i4") for each in bodies]


def aggregate_again(contract: Contract, block: Block, blobs: Blobs, rule_id: str) -> str:
    """The id of the model that a rule makes of a block's updates, as hexadecimal text."""
    rule = RuleSpec(rule_id=rule_id, f=rule_of(contract).f)
    weights = [each.weight for each in block.header.results.contributions]
    delta = aggregate(rule, rows_of(contract, block, blobs), weights).delta
    model = apply_delta(load_model(contract, blobs, block.header.base_model_id), delta)
    return model_id(contract.model.tensors, model.astype("<i4").tobytes()).hex()


def main(folder: Path) -> None:
    blobs = Blobs(folder / BLOBS_NAME)
    with Ledger.open(folder, read_only=True) as ledger:
        contract = ledger.genesis.contract
        blocks = aggregates(ledger)
    own_rule = contract.aggregation.rule_id

    def steps(name: str) -> int:
        return 1 if name == own_rule else OTHER_RULES_EVERY

    models = {
        name: [aggregate_again(contract, block, blobs, name) for block in blocks[:: steps(name)]]
        for name in RULES
    }
    tables = [
        sha256(repr(gram_matrix(rows_of(contract, block, blobs))).encode()).hexdigest()
        for block in blocks
    ]
    kernel = next(each["architecture"] for each in threadpool_info() if each["user_api"] == "blas")
    sys.stdout.write(json.dumps({"kernel": kernel, "models": models, "tables": tables}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

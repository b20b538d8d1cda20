"""Networks of node processes for benchmarks: made, run, measured, taken apart."""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
# For the synthetic learners, here and in every process that is started.
os.environ["PYTHONPATH"] = os.pathsep.join(
    path for path in (str(HERE), os.environ.get("PYTHONPATH", "")) if path
)
sys.path[:0] = [str(HERE.parent.parent), str(HERE)]

from fednode.config import load_config, write_config  # noqa: E402
from fednode.founding.contracts import ContractOptions  # noqa: E402
from fednode.learning.data_spec import DataSpec  # noqa: E402
from fednode.testnet.children import Child  # noqa: E402
from fednode.testnet.plan import NetworkPlan  # noqa: E402
from ledger.genesis import Timeouts  # noqa: E402
from tests.fednode.transport.mosquitto import Mosquitto  # noqa: E402
from tests.support.processes import ProcessNetwork, found_processes  # noqa: E402

KEPT_HEIGHTS = 2
PREFERRED = -10
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process has used: CPU seconds since its start, most memory ever held in bytes."""

    cpu_s: float
    peak_bytes: int


def synthetic_plan(nodes: int, parameters: int, heights: int, timeouts: Timeouts) -> NetworkPlan:
    """Return a network whose members train a model of any size at no cost.

    Args:
        nodes: Number of members; each trains and votes.
        parameters: Size of the model.
        heights: Number of training rounds.
        timeouts: Waits of the contract.
    """
    return NetworkPlan(
        data=DataSpec(source="sklearn:breast_cancer", split="iid", sites=nodes, test_fraction=0.2),
        options=ContractOptions(
            name="benchmark",
            model=f"synthetic:parameters_{parameters}",
            training_rounds=heights,
            timeouts=timeouts,
        ),
    )


@contextmanager
def mosquitto(*options: str) -> Iterator[str]:
    """Run a mosquitto with these lines in its configuration; yield its URL.

    Raises:
        RuntimeError: If there is none, or it does not start.
    """
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    binary = shutil.which("mosquitto", path=search)
    if binary is None:
        raise RuntimeError("expected mosquitto in PATH or /usr/sbin, found none: install it")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fednode-mosquitto-"))
        broker = stack.enter_context(Mosquitto(Path(binary), Path(folder), options=options))
        yield broker.url


@asynccontextmanager
async def running(
    root: Path, plan: NetworkPlan, url: str = "", *, with_recorder: bool = True
) -> AsyncIterator[ProcessNetwork]:
    """Run broker (unless `url` names one), recorder and all nodes; stop them at the end."""
    network = found_processes(root, plan, url=url)
    for member in network.genesis.contract.members:
        path = network.folder.config(member.name)
        config = load_config(path)
        node = config.node.model_copy(update={"keep_heights": KEPT_HEIGHTS})
        write_config(path, config.model_copy(update={"node": node}))
    try:
        if not url:
            await network.start_broker()
        if with_recorder:
            await network.start_recorder()
            prefer(network.recorder)
        for number in range(len(network.genesis.contract.members)):
            await network.start_node(number)
        yield network
    finally:
        await network.stop()


def prefer(child: Child | None) -> None:
    """Let a process stamp what it hears at once, where this user may say so."""
    if child is not None:
        with suppress(psutil.AccessDenied):
            psutil.Process(child.process_id).nice(PREFERRED)


def usage_of(process_id: int) -> Usage:
    """Return what a running process has used so far."""
    times = psutil.Process(process_id).cpu_times()
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{process_id}/status").read_text().splitlines()
    )
    return Usage(cpu_s=times.user + times.system, peak_bytes=int(fields["VmHWM"].split()[0]) * 1024)


def node_usages(network: ProcessNetwork) -> Mapping[int, Usage]:
    """Return what each running node has used so far, without its training process."""
    return {number: usage_of(node.process_id) for number, node in network.nodes.items()}

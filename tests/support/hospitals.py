"""Four hospitals with heart patients: their rows as published, and a whole network that learns."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from fednode.blockwork import load_model
from fednode.founding.contracts import ContractOptions
from fednode.learning.presets import HEART
from fednode.learning.site_data import Site, load_sites
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.blobs import Blobs
from tests.support.network import TEST_TIMEOUTS, Peer, found_sites, run_network

HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
RUN_TIMEOUT_S = 120.0
# Nobody's update may be left out on a busy machine: the scores are those of the seed alone.
TIMEOUTS = replace(TEST_TIMEOUTS, collect_ms=60_000, collect_max_ms=60_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartScore:
    """What one network reached.

    Attributes:
        hospitals: Accuracy on each hospital's own test rows.
        pooled: Accuracy on all test rows.
        models: Number of different models in the members' ledgers; one if all is well.
    """

    hospitals: tuple[float, ...]
    pooled: float
    models: int

    @property
    def hospital_mean(self) -> float:
        return fmean(self.hospitals)


def heart_sites(folder: Path) -> tuple[Site, ...]:
    """The training and test rows of the hospitals, by the split of FLamby (NeurIPS 2022)."""
    from sklearn.model_selection import train_test_split

    sites = []
    for hospital in HOSPITALS:
        source = str(folder / f"processed.{hospital}.data")
        (site,) = load_sites(replace(HEART.data, source=source, site=hospital))
        rows = site.training
        counts = np.bincount(rows.labels.astype(int))
        kept, held = train_test_split(
            np.arange(len(rows)),
            test_size=0.34,
            random_state=43,
            stratify=rows.labels if counts.min() > 2 else None,
        )
        sites.append(
            Site(name=hospital, training=rows.take(kept), hold_out=None, test=rows.take(held))
        )
    return tuple(sites)


def heart_score(sites: Sequence[Site], rule: str, seed: int) -> HeartScore:
    """Run the hospitals' network through all training rounds, signed and voted on."""
    options = ContractOptions(
        name="heart",
        model=HEART.settings.model,
        training_rounds=HEART.training_rounds,
        rule=rule,
        learning_rate=HEART.settings.learning_rate,
        momentum=HEART.settings.momentum,
        worker_momentum=HEART.settings.worker_momentum,
        batch_size=HEART.settings.batch_size,
        local_steps=HEART.settings.local_steps,
        seed=seed,
        timeouts=TIMEOUTS,
    )
    with tempfile.TemporaryDirectory(prefix="fednode-hospitals-") as folder:
        peers = found_sites(Path(folder), sites, HEART.data, options)
        hub = MemoryHub()
        transports = [MemoryTransport(hub, name=peer.folder.name) for peer in peers]
        run = run_network(peers, HEART.training_rounds, transports, timeout_s=RUN_TIMEOUT_S)
        asyncio.run(run)
        return _score(peers, [0 if site.test is None else len(site.test) for site in sites])


def _score(peers: Sequence[Peer], rows: Sequence[int]) -> HeartScore:
    models = set()
    for peer in peers:
        with peer.ledger() as ledger:
            models.add(ledger.state.model_id)
    contract = peers[0].membership.genesis.contract
    model = load_model(contract, Blobs(peers[0].folder / "blobs"), models.pop())
    hospitals = tuple(peer.training.evaluate(model, "test")["accuracy"] for peer in peers)
    return HeartScore(
        hospitals=hospitals,
        pooled=float(np.average(hospitals, weights=rows)),
        models=len(models) + 1,
    )

"""One member's process: from its configuration to a running node, and to a clean end."""

import asyncio
import signal
from pathlib import Path
from typing import Final

from fednode.aggregation.selftest import check_pinned_vector
from fednode.assembly import Storage, Surroundings, build_node, make_journal
from fednode.clock import SystemClock
from fednode.config import NodeConfig
from fednode.errors import ConfigError, NodeError
from fednode.events import EventSink
from fednode.founding.initial_model import initial_model_body, settings_of
from fednode.founding.membership import Membership, known_state, own_code
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.job import TrainingJob, save_job
from fednode.learning.trainer import TrainerProcess
from fednode.node import Node
from fednode.transport.mqtt import MqttTransport
from fednode.wire.topics import topics_of
from ledger.genesis import chain_id
from ledger.membership import Standing

JOB_NAME: Final = "training-job.json"
TRAINER_FOLDER: Final = "trainer"


async def run_member(config: NodeConfig, membership: Membership, events: EventSink) -> None:
    """Run one member's node until it is told to stop by SIGINT or SIGTERM.

    Args:
        config: Where folder, data and broker are.
        membership: Key, genesis and network key, checked against each other.
        events: Takes what the node tells about itself.

    Raises:
        NodeError: If the node cannot start or had to stop itself; also `StorageError` of the
            ledger and `TransportError` of the transport.
    """
    check_pinned_vector()
    contract = membership.genesis.contract
    folder = config.node.folder
    journal = make_journal(folder, events)
    initial_model = initial_model_body(contract, config.node.initial_model_file)
    with Storage(folder, membership.genesis, initial_model) as storage:
        trainer = await _start_trainer(config, membership)
        try:
            transport = MqttTransport(
                config.broker.settings(),
                member=membership.key.public_key,
                topic_root=topics_of(chain_id(contract)).root,
            )
            around = Surroundings(
                transport=transport,
                trainer=trainer,
                clock=SystemClock(),
                journal=journal,
                keep_heights=config.node.keep_heights,
            )
            node = build_node(membership, storage, around)
            _stop_on_signals(node)
            await node.run()
        finally:
            if trainer is not None:
                await trainer.close()


async def _start_trainer(config: NodeConfig, membership: Membership) -> TrainerProcess | None:
    founders = membership.genesis.contract
    records = known_state(config.node.folder, founders).membership.members
    own = records[membership.member] if membership.member < len(records) else None
    # Whoever is to be admitted trains as soon as it is, if it has rows.
    needs_rows = config.data is not None
    if own is not None:
        needs_rows = own.member.is_trainer or own.member.has_hold_out
    if not needs_rows or (own is not None and own.standing is Standing.GONE):
        return None
    if config.data is None:
        raise ConfigError(
            f"member {membership.member} has data in the contract: expected a section [data] "
            "in its configuration, got none; add it"
        )
    trainer = TrainerProcess(_save_job(config, membership))
    try:
        await trainer.start()
    except (DataError, SettingsError, TrainerError) as error:
        await trainer.close()
        raise NodeError(f"cannot train on this member's rows: {error}") from None
    return trainer


def _save_job(config: NodeConfig, membership: Membership) -> Path:
    assert config.data is not None
    contract = membership.genesis.contract
    path = config.node.folder / JOB_NAME
    job = TrainingJob(
        data=config.data.spec(),
        features=contract.data.features,
        settings=settings_of(contract),
        tensors=contract.model.tensors,
        member=membership.member,
        state_folder=str(config.node.folder / TRAINER_FOLDER),
        attack=config.test.attack,
        code=own_code(config, contract),
    )
    save_job(path, job)
    return path


def _stop_on_signals(node: Node) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, node.stop)

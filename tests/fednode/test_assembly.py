"""A node's parts follow the terms in force, which blocks change (rule P81)."""

from dataclasses import replace
from pathlib import Path

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.channels import OwnKeys
from tests.support.network import TEST_TIMEOUTS, found_network

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=2, test_fraction=0.2)
OPTIONS = ContractOptions(name="two hospitals", training_rounds=1)


def test_sizes_and_periods_are_those_of_the_terms_in_force_without_a_restart(
    tmp_path: Path,
) -> None:
    peer = found_network(tmp_path, SPEC, OPTIONS)[0]
    with peer.storage() as storage:
        parts = peer.node(storage, MemoryTransport(MemoryHub(), name="own"))._parts
        keys = parts.key_exchange._parts.keys
        state = parts.roster.state
        own = OwnKeys(
            chain_id=state.chain_id, member=0, membership_epoch=0, made_ms=1, seed=bytes(32)
        )
        keys.enter(own, (0, 1), now_ms=0)
        before_ms = TEST_TIMEOUTS.rebroadcast_ms
        terms = state.membership.terms
        changed = replace(
            terms,
            timeouts=replace(terms.timeouts, rebroadcast_ms=10 * before_ms),
            limits=replace(terms.limits, body_bytes_max=3 * terms.limits.body_bytes_max),
        )

        def asked(now_ms: int) -> bool:
            return any(each.member == 1 for each in keys.due(now_ms))

        assert not asked(before_ms - 1)
        membership = replace(state.membership, terms=changed)
        parts.roster.follow(replace(state, membership=membership))

        assert asked(before_ms)
        assert not asked(before_ms + 10 * before_ms - 1)
        assert asked(before_ms + 10 * before_ms)
        limits = parts.exchange._receiver._limits()
        assert limits.body_bytes == changed.limits.body_bytes_max

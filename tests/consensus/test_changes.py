"""Operations in the engine: what they open, and what becomes of them (rules P15, P35, P81)."""

from collections.abc import Callable

import pytest

from consensus.change_inputs import OperationReceived
from consensus.effects import BuildBlock, EvidenceReceived, TimerKind
from ledger.building import Draft, build_block, unchanged_results
from ledger.operations import Operation
from ledger.validity import check_block
from tests.support.consensus.bench import Bench, equal_contract, started
from tests.support.consensus.cluster import Cluster
from tests.support.evidence import proof
from tests.support.ledger import STUB_SCHEME, Chain, stub_chain
from tests.support.members import agreed, leave, new_key, rotate

Make = Callable[[Chain, int], Operation]
VOIDED: dict[str, Make] = {
    "LEAVE": leave,
    "ROTATE": lambda made, member: rotate(made, member, new_key("next", made.keys[0])),
}
"""Operations about a member that evidence against it makes void (rule P81)."""


def finished_chain() -> Chain:
    return stub_chain(2, of=equal_contract(training_rounds=2))


def inputs(bench: Bench, operation: Operation) -> list[OperationReceived]:
    """An operation with the approval of each whose approval it needs."""
    approvals = agreed(bench.chain, operation).approvals
    return [
        OperationReceived(operation=operation, approval=bench.verified(each)) for each in approvals
    ]


def built(bench: Bench) -> BuildBlock:
    """What the engine, which leads view 0, has its host build."""
    bench.fire(TimerKind.COLLECT)
    for member in bench.others:
        bench.have(member)
    (order,) = [each for each in bench.history if isinstance(each, BuildBlock)]
    return order


@pytest.mark.parametrize("kind", VOIDED)
def test_a_block_whose_evidence_voids_the_operation_that_opened_its_height_is_valid(
    kind: str,
) -> None:
    """Rules P13, P15: the height has begun and must end with a block that nobody refuses."""
    bench = started(leads=0, chain=finished_chain())
    liar = bench.others[0]
    operation = VOIDED[kind](bench.chain, liar)
    evidence = proof(bench.chain, liar)
    for each in inputs(bench, operation):
        bench.step(each)

    bench.step(EvidenceReceived(evidence=evidence))
    order = built(bench)
    draft = Draft(
        view=order.view,
        kind=order.kind,
        time_ms=order.time_ms,
        haves=order.haves,
        updates=order.updates,
        last_certificate=order.last_certificate,
        results=unchanged_results(bench.state),
        evidence=order.evidence,
        operations=order.operations,
    )
    block = build_block(bench.contract, bench.state, draft)

    assert (order.evidence, order.operations) == ((evidence,), ())
    assert check_block(bench.contract, bench.state, block, scheme=STUB_SCHEME) == ()


@pytest.mark.parametrize("kind", VOIDED)
@pytest.mark.parametrize("knowing", [range(4), range(1)], ids=["all", "one"])
def test_a_finished_network_bans_a_liar_whose_operation_has_opened_a_height(
    kind: str, knowing: range
) -> None:
    """Rules P15, P45: the height ends, and no further one opens for the void operation."""
    cluster = Cluster(equal_contract(training_rounds=2))
    cluster.run_until(2)
    cluster.run_for(5_000)
    host = cluster.hosts[0]
    made = Chain(
        contract=cluster.contract,
        keys=cluster.keys,
        states=host.states,
        blocks=host.blocks,
        certificates=host.certificates,
    )
    liar = 3
    operation = VOIDED[kind](made, liar)
    bench = Bench(chain=made, member=0)
    heard = inputs(bench, operation)
    evidence = proof(made, liar)

    for each in cluster.hosts.values():
        for one in heard:
            cluster.feed(each, one)
    for member in knowing:
        cluster.feed(cluster.hosts[member], EvidenceReceived(evidence=evidence))
    cluster.run_for(120_000)

    honest = [each for each in cluster.hosts.values() if each.member != liar]
    assert {each.states[-1].height for each in honest} == {3}
    assert all(each.engine is not None and each.engine.is_finished for each in honest)
    last, is_banned = honest[0].blocks[-1], honest[0].states[-1].banned == (liar,)
    assert is_banned == bool(last.evidence) == (not last.operations)
    assert is_banned or len(knowing) == 1

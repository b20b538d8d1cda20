"""What the engine still holds a body for: a later header of the same model, and no longer (P10)."""

from dataclasses import replace

from consensus.effects import BlocksReceived, Publish, TimerKind, UpdateReceived
from consensus.messages import HaveMessage
from ledger.keys import sign
from ledger.state import State
from tests.support.consensus.bench import Bench, equal_contract
from tests.support.ledger import stub_chain


def announce(bench: Bench, state: State, trainer: int) -> None:
    """A header of a trainer for the height after `state` under the body that it sent first."""
    header = replace(
        bench.update(trainer).statement,
        height=state.height + 1,
        training_round=state.training_round + 1,
        base_model_id=state.model_id,
    )
    key = bench.keys[trainer]
    signed = sign(header, key, signer=trainer, chain_id=state.chain_id)
    bench.step(UpdateReceived(update=bench.verified(signed)))


def listed(bench: Bench) -> list[int]:
    """The trainers on the HAVE list that is signed when the wait for updates ends."""
    bench.fire(TimerKind.COLLECT)
    sent = [each.message for each in bench.effects if isinstance(each, Publish)]
    (have,) = [each.have.statement for each in sent if isinstance(each, HaveMessage)]
    return [entry.trainer for entry in have.entries]


def test_a_body_of_an_older_model_is_not_listed_before_the_host_says_that_it_is_still_here() -> (
    None
):
    """It may have been pruned; its trainer could stop every height by announcing it again."""
    bench = Bench(chain=stub_chain(0, of=equal_contract(5)))
    bench.start()
    trainer = bench.others[0]
    bench.hold(trainer)
    for _ in range(4):
        others = [each for each in bench.others if each != trainer]
        block = bench.chain.build(trainers=others, listing=bench.others)
        bench.chain.add(block, signing=bench.others)
        _decide(bench)

    announce(bench, bench.chain.state, trainer)

    assert listed(bench) == []


def test_a_body_that_an_empty_block_left_over_is_listed_under_its_new_header() -> None:
    bench = Bench()
    bench.start()
    trainer = bench.others[0]
    bench.hold(trainer)
    block = bench.chain.build(trainers=[], listing=bench.others)
    bench.chain.add(block, signing=bench.others)
    _decide(bench)

    announce(bench, bench.chain.state, trainer)

    assert listed(bench) == [trainer]


def _decide(bench: Bench) -> None:
    """Let the engine catch up with the chain."""
    certificate = bench.chain.certificate
    assert certificate is not None
    bench.step(BlocksReceived(blocks=(bench.chain.blocks[-1],), certificate=certificate))

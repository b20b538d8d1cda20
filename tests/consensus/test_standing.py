"""Rule P81: which key a node signs with, if any, and what people are told when members change."""

from dataclasses import replace

import pytest

from consensus.change_inputs import KeyMade, OperationOffered
from consensus.effects import BlocksReceived, Notice, Publish, TimerKind
from consensus.messages import OperationMessage
from ledger.operations import Operation
from ledger.records import block_id
from tests.support.consensus.bench import PREPARE, Bench, equal_chain
from tests.support.ledger import Chain
from tests.support.members import (
    agreed,
    approval,
    carrying,
    change,
    evict,
    hold,
    join,
    leave,
    new_key,
    pend,
    rotate,
)


def made_bench() -> Bench:
    bench = Bench(chain=equal_chain(0), member=0)
    bench.start()
    return bench


def carried(bench: Bench, operation: Operation) -> None:
    """The others decide a block with an operation; the engine catches up with it."""
    made, others = bench.chain, bench.others
    plain = made.build(listing=others, trainers=others)
    made.add(carrying(made, (agreed(made, operation),), block=plain), signing=others)
    bench.step(BlocksReceived(blocks=(made.blocks[-1],), certificate=made.certificates[-1]))


def notices(bench: Bench) -> list[str]:
    return [each.text for each in bench.effects if isinstance(each, Notice)]


def errors(bench: Bench) -> list[str]:
    return [each.text for each in bench.effects if isinstance(each, Notice) and each.is_error]


def test_a_member_that_may_not_sign_approves_nothing() -> None:
    """Its key was replaced: whoever has the old one, approves nothing with it."""
    bench = made_bench()
    carried(bench, rotate(bench.chain, 0, new_key("next", bench.keys[0])))

    lines = bench.step(OperationOffered(operation=evict(bench.chain, 3)))

    assert lines == ("error",)
    assert "this node may not sign" in notices(bench)[0]


def test_a_key_that_was_made_signs_from_the_height_at_which_it_is_in_force() -> None:
    bench = made_bench()
    key = new_key("next", bench.keys[0])
    before = bench.step(KeyMade(key=key))

    carried(bench, rotate(bench.chain, 0, key))
    hold(bench.chain, 0, key)
    lines = bench.step(OperationOffered(operation=evict(bench.chain, 3)))

    assert before == ()
    assert lines == ("OPERATION of 0",)
    (said,) = [each.message for each in bench.effects if isinstance(each, Publish)]
    assert isinstance(said, OperationMessage)
    assert said.approval == approval(bench.chain, evict(bench.chain, 3), 0)


def test_a_key_that_is_in_force_already_signs_at_once() -> None:
    bench = made_bench()
    key = new_key("next", bench.keys[0])
    carried(bench, rotate(bench.chain, 0, key))
    hold(bench.chain, 0, key)
    silent = bench.fire(TimerKind.COLLECT)

    lines = bench.step(KeyMade(key=key))

    assert silent == ()
    assert "train 2" in lines
    assert bench.fire(TimerKind.COLLECT) == ("persist", "HAVE 0")


def operations_of(made: Chain) -> list[tuple[Operation, str]]:
    return [
        (join(made, "newcomer"), "JOIN: newcomer may join, until height 50"),
        (leave(made, 3), "LEAVE: member 3 (hospital-3) leaves"),
        (evict(made, 3), "EVICT: member 3 (hospital-3) is evicted"),
        (
            rotate(made, 3, new_key("next", made.keys[3])),
            "ROTATE: member 3 (hospital-3) gets another key",
        ),
        (
            change(made, lambda terms: replace(terms, training_rounds=9)),
            "TERMS: the terms of the contract change",
        ),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_decided_operation_is_told_to_people(number: int) -> None:
    bench = made_bench()
    operation, text = operations_of(bench.chain)[number]

    carried(bench, operation)

    assert f"height=1: {text} (rule P81)" in notices(bench)


def test_who_was_evicted_is_told_that_it_signs_nothing_any_more() -> None:
    bench = made_bench()

    carried(bench, evict(bench.chain, 0))

    (text,) = errors(bench)
    assert "this member left or was evicted" in text
    assert bench.fire(TimerKind.COLLECT) == ()


def test_who_lacks_the_key_in_force_is_told_where_to_put_it() -> None:
    bench = made_bench()

    carried(bench, rotate(bench.chain, 0, new_key("next", bench.keys[0])))

    (text,) = errors(bench)
    assert "put the new key where node.key_file says" in text


def test_a_member_that_is_pending_says_ready_and_one_that_lapsed_is_told_what_it_needs() -> None:
    bench = Bench(chain=equal_chain(0), member=0)
    newcomer = pend(bench.chain, "newcomer")
    pending = Bench(chain=bench.chain, member=newcomer)
    lines = pending.start()

    carried(pending, evict(pending.chain, newcomer))

    assert "READY 1" in lines
    (text,) = errors(pending)
    assert "it needs a new key and another JOIN" in text


def test_a_node_that_the_chain_does_not_know_yet_asks_for_blocks_and_signs_nothing() -> None:
    made = equal_chain(0)
    made.keys = [*made.keys, new_key("newcomer", made.keys[0])]
    bench = Bench(chain=made, member=len(made.keys) - 1)

    bench.start()
    told = [each.text for each in bench.history if isinstance(each, Notice)]
    block = bench.chain.build()
    bench.propose(block, 0)
    lines = bench.votes(PREPARE, 0, block_id(block.header))

    assert "this node's key is not known here yet" in told[0]
    assert lines == ()

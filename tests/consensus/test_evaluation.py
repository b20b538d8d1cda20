"""Rule P16 in one engine: a model is judged once, kept for a block, never waited for."""

from dataclasses import replace

import pytest

from consensus.effects import BuildBlock, Halt, Publish, ReportContradiction, TimerKind
from consensus.judging import Evaluate, Evaluated, MetricsReceived
from consensus.messages import EvidenceMessage, MetricsMessage
from consensus.metrics_pool import HEIGHTS_AHEAD_MAX, MetricsPool
from consensus.record import SlotKind
from consensus.verification import verify_message
from ledger.errors import SignatureError
from ledger.genesis import Role
from ledger.keys import Signed
from ledger.metrics import MetricsReport
from ledger.validity import check_block
from tests.support.consensus.bench import Bench, equal_contract
from tests.support.feedback import report, with_feedback
from tests.support.ledger import STUB_SCHEME, Chain, digest, stub_chain, with_roles
from tests.support.members import agreed, carry, carrying, hold, new_key, rotate

REPORTERS = range(3)
ROTATED = 2
"""A reporter that does not lead the height after `rotated`."""


def grown(blocks: int = 3, *, rounds: int = 1_000) -> Chain:
    """Four validators; all but member 3 judge models."""
    of = with_feedback(equal_contract(training_rounds=rounds), REPORTERS)
    return stub_chain(blocks, of=of)


def started(member: int = 0, *, chain: Chain | None = None) -> Bench:
    bench = Bench(chain=chain or grown(), member=member)
    bench.start()
    return bench


def asked(bench: Bench) -> list[Evaluate]:
    return [each for each in bench.history if isinstance(each, Evaluate)]


def answer(bench: Bench, *, value: int = 7) -> tuple[str, ...]:
    order = asked(bench)[-1]
    return bench.step(
        Evaluated(
            height=order.height,
            model_id=order.model_id,
            best_id=order.best_id,
            value=value,
            best_value=0,
        )
    )


def hear(bench: Bench, metrics: Signed[MetricsReport]) -> tuple[str, ...]:
    return bench.step(MetricsReceived(metrics=bench.verified(metrics)))


def said(bench: Bench) -> list[Signed[MetricsReport]]:
    return [
        each.message.metrics
        for each in bench.effects
        if isinstance(each, Publish) and isinstance(each.message, MetricsMessage)
    ]


def carried(bench: Bench) -> tuple[Signed[MetricsReport], ...]:
    """What the engine, which leads view 0, puts into its block."""
    bench.fire(TimerKind.COLLECT)
    for member in bench.others:
        bench.have(member)
    (order,) = [each for each in bench.history if isinstance(each, BuildBlock)]
    return order.metrics


def leader(chain: Chain) -> int:
    return Bench(chain=chain, leads=0).member


def test_the_newest_model_is_judged_before_training_goes_on() -> None:
    bench = Bench(chain=grown(), member=0)

    lines = bench.start()

    assert [line for line in lines if line.startswith(("evaluate", "train"))] == [
        "evaluate 3",
        "train 4",
    ]
    (order,) = asked(bench)
    newest = bench.state.judged[-1]
    assert (order.height, order.model_id, order.best_id) == (3, newest.model_id, newest.best_id)


def test_figures_are_durable_before_they_are_said() -> None:
    bench = started()

    lines = answer(bench)

    assert lines == ("persist", "METRICS 3")
    slot = bench.record.slot(SlotKind.METRICS)
    assert slot is not None
    assert (slot.height, slot.view) == (3, 0)
    assert said(bench)[0].statement.value == 7


def test_a_restart_says_the_same_again_and_judges_nothing_twice() -> None:
    bench = started()
    answer(bench, value=7)
    first = said(bench)
    bench.history.clear()

    bench.restart()

    assert asked(bench) == []
    bench.fire(TimerKind.REBROADCAST)
    assert said(bench) == first


def test_a_second_evaluation_of_one_model_is_not_signed() -> None:
    bench = started()
    order = asked(bench)[0]
    answer(bench, value=7)

    again = bench.step(
        Evaluated(
            height=order.height,
            model_id=order.model_id,
            best_id=order.best_id,
            value=8,
            best_value=0,
        )
    )

    assert again == ()


@pytest.mark.parametrize("changes", [{"height": 9}, {"model_id": digest("x")}, {"best_id": b"x"}])
def test_figures_of_what_is_not_under_judgement_are_not_signed(changes: dict[str, object]) -> None:
    bench = started()
    order = asked(bench)[0]
    result = Evaluated(
        height=order.height,
        model_id=order.model_id,
        best_id=order.best_id,
        value=1,
        best_value=0,
    )

    assert bench.step(replace(result, **changes)) == ()  # type: ignore[arg-type]  # by name


def test_who_has_no_hold_out_is_not_asked() -> None:
    assert asked(started(3)) == []


def test_a_model_of_which_the_state_has_the_own_figures_is_not_judged_again() -> None:
    made = grown()
    model = made.state.judged[-1]
    made.add(made.build(metrics=(report(made, 0, value=1, model=model),), trainers=[]))

    assert asked(started(chain=made)) == []


def test_a_leader_carries_all_that_it_heard_in_order() -> None:
    made = grown()
    bench = started(leader(made), chain=made)
    oldest, newest = made.state.judged[-2:]
    others = [member for member in REPORTERS if member != bench.member]
    told = [
        report(made, member, value=member, model=model)
        for model in (newest, oldest)
        for member in reversed(others)
    ]
    for metrics in told:
        hear(bench, metrics)

    places = [(each.statement.height, each.signer) for each in carried(bench)]

    assert places == sorted((each.statement.height, each.signer) for each in told)


def test_what_no_block_may_carry_is_not_kept() -> None:
    made = grown(5)
    bench = started(leader(made), chain=made)
    long_past = made.state.judged[0]
    other = next(member for member in REPORTERS if member != bench.member)
    right = report(made, other, value=1)
    wrong = bench.sign(replace(right.statement, best_id=digest("another best")), other)

    hear(bench, report(made, other, value=1, model=long_past))
    hear(bench, wrong)

    assert carried(bench) == ()


def test_metrics_of_the_block_to_come_are_kept_for_it() -> None:
    made = grown()
    ahead = stub_chain(4, of=made.contract)
    pool = MetricsPool(STUB_SCHEME)

    assert pool.add(made.contract, made.state, report(ahead, 1, value=5)) is None
    assert pool.proposable() == ()
    pool.begin_height(ahead.contract, ahead.state)

    assert [each.statement.height for each in pool.proposable()] == [4]


def rotated() -> tuple[Chain, Signed[MetricsReport], Signed[MetricsReport]]:
    """An EMPTY block gave a member a new key; its figures of the newest model, by both keys."""
    made = grown()
    old = report(made, ROTATED, value=5)
    key = new_key("next", made.keys[ROTATED])
    change = (agreed(made, rotate(made, ROTATED, key)),)
    made.add(carrying(made, change, block=made.build(trainers=[])))
    hold(made, ROTATED, key)
    assert made.state.judged[-1].height == made.state.height - 1
    return made, old, report(made, ROTATED, value=5)


def test_figures_count_under_the_key_that_followed_the_model() -> None:
    """Rule P3: whoever got another key since cannot make the leaders' blocks invalid."""
    made, old, new = rotated()
    bench = started(leader(made), chain=made)

    with pytest.raises(SignatureError):
        verify_message(
            MetricsMessage(metrics=new),
            contract=made.contract,
            state=made.state,
            scheme=STUB_SCHEME,
        )
    heard = verify_message(
        MetricsMessage(metrics=old), contract=made.contract, state=made.state, scheme=STUB_SCHEME
    )

    assert isinstance(heard, MetricsReceived)
    bench.step(heard)
    metrics = carried(bench)
    assert metrics == (old,)
    block = made.build(metrics=metrics)
    assert check_block(made.contract, made.state, block, scheme=STUB_SCHEME) == ()
    wrong = made.build(metrics=(new,))
    assert check_block(made.contract, made.state, wrong, scheme=STUB_SCHEME) != ()


def test_early_figures_under_a_key_that_is_replaced_meanwhile_are_not_carried() -> None:
    made = grown()
    pool = MetricsPool(STUB_SCHEME)
    ahead = grown()
    carry(ahead, rotate(ahead, 1, new_key("next", ahead.keys[1])))
    early = report(ahead, 1, value=5)
    pool.add(made.contract, made.state, early)

    pool.begin_height(ahead.contract, ahead.state)

    assert early.statement.height == made.state.height + 1
    assert pool.proposable() == ()


def test_who_got_another_key_since_does_not_judge_the_model_before() -> None:
    made, old, _ = rotated()
    bench = started(ROTATED, chain=made)
    late = old.statement

    lines = bench.step(
        Evaluated(
            height=late.height,
            model_id=late.model_id,
            best_id=late.best_id,
            value=late.value,
            best_value=late.best_value,
        )
    )

    assert asked(bench) == []
    assert (lines, said(bench)) == ((), [])


def test_of_heights_to_come_one_per_member_is_kept() -> None:
    """Rule P37."""
    made = grown()
    pool = MetricsPool(STUB_SCHEME)
    for height in range(made.state.height + 1, made.state.height + 50):
        statement = replace(report(made, 1, value=1).statement, height=height)
        metrics = Signed(statement=statement, signer=1, signature=bytes(64))
        pool.add(made.contract, made.state, metrics)

    assert pool.size() == 1
    assert HEIGHTS_AHEAD_MAX < 49


def test_included_metrics_are_forgotten() -> None:
    made = grown()
    pool = MetricsPool(STUB_SCHEME)
    metrics = report(made, 1, value=5)
    pool.add(made.contract, made.state, metrics)
    made.add(made.build(metrics=(metrics,)))

    pool.begin_height(made.contract, made.state)

    assert pool.size() == 0


def test_two_different_figures_of_one_member_are_reported_and_ban_nobody() -> None:
    """Rules P34 and P45: only the first counts."""
    made = grown()
    bench = started(leader(made), chain=made)
    other = next(member for member in REPORTERS if member != bench.member)
    hear(bench, report(made, other, value=1))

    hear(bench, report(made, other, value=2))

    (shown,) = [each for each in bench.effects if isinstance(each, ReportContradiction)]
    assert shown.member == other
    assert not any(
        isinstance(each, Publish) and isinstance(each.message, EvidenceMessage)
        for each in bench.effects
    )
    assert [each.statement.value for each in carried(bench)] == [1]


def test_figures_under_the_own_key_that_this_node_never_signed_stop_it() -> None:
    """Rule P60."""
    bench = started()
    answer(bench, value=7)

    hear(bench, report(bench.chain, 0, value=8))

    (halt,) = [each for each in bench.effects if isinstance(each, Halt)]
    assert "METRICS of height 3" in halt.reason


def test_the_own_metrics_that_come_back_are_no_trouble() -> None:
    bench = started()
    answer(bench, value=7)

    assert hear(bench, said(bench)[0]) == ()


def test_metrics_are_said_again_until_a_block_carries_them() -> None:
    """Rule P35: each period, however fast the heights are."""
    bench = started()
    answer(bench)

    for _ in range(3):
        assert "METRICS 3" in bench.fire(TimerKind.REBROADCAST)


def test_the_gate_refuses_metrics_of_who_has_no_hold_out() -> None:
    of = with_roles(grown().contract, {2: Role.TRAINER})
    made = grown()

    for member, reason in ((2, "no hold-out"), (3, "no hold-out"), (1, "the signature is not")):
        metrics = report(made, member, value=1)
        if member == 1:
            metrics = replace(metrics, signature=bytes(64))
        with pytest.raises(SignatureError, match=reason):
            verify_message(
                MetricsMessage(metrics=metrics),
                contract=of,
                state=made.state,
                scheme=STUB_SCHEME,
            )


def test_in_the_closing_height_a_have_waits_for_the_figures_of_all() -> None:
    """Rule P15: and no longer than for the end of the collect wait."""
    for is_heard in (True, False):
        made = grown(rounds=3)
        bench = started(3, chain=made)
        assert not any(line.startswith("train") for line in map(bench.shown, bench.history))
        for member in (0, 1):
            assert hear(bench, report(made, member, value=1)) == ()

        lines = hear(bench, report(made, 2, value=1)) if is_heard else bench.fire(TimerKind.COLLECT)

        assert "HAVE 0" in lines

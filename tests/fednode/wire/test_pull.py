"""Pull repair: whom to ask, when, and how much; what to answer (Rules P91, P93)."""

import hashlib
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from fednode.wire.answers import AnswerLimits, PullAnswerer
from fednode.wire.bodies import BodyReceiver, Outcome, ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.packets import (
    GRANULE_BYTES,
    BodyPacket,
    GranuleRange,
    cut,
)
from fednode.wire.pull import ROOM_WAIT_MS, Missing, PullLimits, PullPlanner

ID, OTHER_ID = bytes([1] * 32), bytes([2] * 32)
ME, TRAINER, HOLDER, SECOND = 0, 1, 2, 3
LOCKED: set[int] = set()
"""Members whose keys are not here."""


def planner(**limits: int) -> PullPlanner:
    return PullPlanner(
        own_member=ME,
        limits=PullLimits(**limits),
        first_counter=1000,
        can_read=lambda member: member not in LOCKED,
    )


@pytest.fixture
def locked() -> Iterator[set[int]]:
    yield LOCKED
    LOCKED.clear()


def some(first: int, count: int, *, refused: tuple[int, ...] = ()) -> Missing:
    return Missing(ranges=(GranuleRange(first=first, count=count),), refused=refused)


def test_nobody_is_asked_while_the_push_may_still_arrive() -> None:
    plan = planner(push_grace_ms=1000)
    plan.want(ID, height=1, responders=[TRAINER], now_ms=0)
    plan.progress(ID, some(5, 5), now_ms=800)

    assert plan.due(1799) == ()
    assert [each.responder for each in plan.due(1800)] == [TRAINER]


def test_bodies_that_are_pushed_together_wait_for_each_other_but_not_for_ever() -> None:
    plan = planner(push_grace_ms=1000, busy_grace_ms=2500)
    plan.want(ID, height=1, responders=[TRAINER], now_ms=0)
    plan.want(OTHER_ID, height=1, responders=[HOLDER], now_ms=0)

    for packet in range(1, 6):
        asked = plan.due(packet * 800)
        plan.progress(OTHER_ID, some(packet, 5), now_ms=packet * 800)
        expected = [] if packet * 800 < 2500 else [(TRAINER, ID)]
        assert [(each.responder, each.body_id) for each in asked] == expected
        if asked:
            break
    else:
        pytest.fail("the first body was never asked for")


def test_a_member_whose_keys_are_not_here_is_asked_as_soon_as_they_are(
    locked: set[int],
) -> None:
    """Rule P90: data of a sender whose key does not open are not held, so others are asked."""
    locked.update({TRAINER, HOLDER})
    plan = planner(push_grace_ms=0, answer_timeout_ms=100)
    plan.want(ID, height=4, responders=[TRAINER], now_ms=0)

    assert plan.due(0) == ()
    assert plan.next_due_ms() == ROOM_WAIT_MS
    plan.want(ID, height=4, responders=[HOLDER, SECOND], now_ms=ROOM_WAIT_MS)
    assert [each.responder for each in plan.due(ROOM_WAIT_MS)] == [SECOND]
    locked.remove(TRAINER)
    assert [each.responder for each in plan.due(ROOM_WAIT_MS + 100)] == [SECOND]
    assert [each.responder for each in plan.due(ROOM_WAIT_MS + 200)] == [TRAINER]


def test_the_trainer_is_asked_first_and_then_every_holder_in_turn() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=100)
    plan.want(ID, height=4, responders=[TRAINER, ME], now_ms=0)
    plan.want(ID, height=4, responders=[HOLDER, TRAINER, SECOND], now_ms=0)

    asked = []
    for _ in range(7):
        now_ms = plan.next_due_ms()
        assert now_ms is not None
        asked += [(now_ms, each.responder, each.counter) for each in plan.due(now_ms)]

    # The wait doubles each time that all of them failed.
    assert asked == [
        (0, TRAINER, 1001),
        (100, HOLDER, 1002),
        (200, SECOND, 1003),
        (300, TRAINER, 1004),
        (500, HOLDER, 1005),
        (700, SECOND, 1006),
        (900, TRAINER, 1007),
    ]


def test_the_wait_for_an_answer_is_bounded() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=100, backoff_max_ms=250)
    plan.want(ID, height=1, responders=[TRAINER], now_ms=0)
    times = []
    for _ in range(40):
        now_ms = plan.next_due_ms()
        assert now_ms is not None
        times.append(now_ms)
        plan.due(now_ms)

    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == [100, 200] + [250] * 37


def test_a_request_names_what_is_missing_and_asks_for_the_rest_when_served() -> None:
    plan = planner(push_grace_ms=0, request_bytes_max=4 * GRANULE_BYTES)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0)
    plan.progress(ID, some(10, 6), now_ms=0)

    (first,) = plan.due(0)
    plan.progress(ID, some(12, 4), now_ms=5)
    partly = plan.due(5)
    plan.progress(ID, some(14, 2), now_ms=6)
    (second,) = plan.due(6)

    assert first.ranges == (GranuleRange(first=10, count=4),)
    assert partly == ()
    assert (second.responder, second.ranges) == (TRAINER, (GranuleRange(first=14, count=2),))


def test_an_answer_that_keeps_coming_extends_the_wait() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=100)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0)
    plan.progress(ID, some(0, 10), now_ms=0)
    plan.due(0)

    plan.progress(ID, some(1, 9), now_ms=90, sender=TRAINER)

    assert plan.due(189) == ()
    assert [each.responder for each in plan.due(190)] == [HOLDER]


def test_packets_that_anybody_can_have_sent_put_off_the_next_responder_boundedly() -> None:
    """Else a member that lets granules drip would keep a silent responder company for ever."""
    plan = planner(push_grace_ms=0, answer_timeout_ms=2000, busy_grace_ms=5000)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0, total_bytes=10**7)
    assert [each.responder for each in plan.due(0)] == [TRAINER]

    asked = []
    for now_ms in range(0, 10_000, 500):
        plan.progress(ID, some(1 + now_ms // 500, 2000), now_ms=now_ms, sender=None)
        asked += [(now_ms, each.responder) for each in plan.due(now_ms)]

    assert asked[0] == (5000, HOLDER)


def test_a_slow_answer_is_waited_for_as_long_as_it_keeps_coming() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=2000, busy_grace_ms=5000)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0, total_bytes=10**7)
    plan.due(0)

    for now_ms in range(500, 20_000, 500):
        plan.progress(ID, some(now_ms // 500, 2000), now_ms=now_ms, sender=TRAINER)
        assert plan.due(now_ms) == ()


def test_packets_that_anybody_can_have_sent_put_off_what_a_block_needs_boundedly() -> None:
    plan = planner(push_grace_ms=1000, busy_grace_ms=5000)
    plan.want(ID, height=1, responders=[TRAINER], now_ms=0, total_bytes=10**7)
    asked = []
    for now_ms in range(0, 20_000, 500):
        if now_ms == 10_000:
            plan.want(ID, height=1, responders=[HOLDER], now_ms=now_ms, is_pushed=False)
        plan.progress(ID, some(1 + now_ms // 500, 2000), now_ms=now_ms, sender=None)
        asked += [now_ms for _ in plan.due(now_ms)]

    assert asked[0] == 15_000


def test_a_responder_that_sent_wrong_bytes_is_replaced_at_once_and_for_good() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=100)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0)
    plan.due(0)

    plan.progress(ID, Missing(refused=(TRAINER,)), now_ms=10)

    asked = []
    for _ in range(3):
        now_ms = plan.next_due_ms()
        assert now_ms is not None
        asked += [each.responder for each in plan.due(now_ms)]
    assert asked == [HOLDER, HOLDER, HOLDER]


def test_requests_together_ask_for_boundedly_many_bytes() -> None:
    plan = planner(push_grace_ms=0, outstanding_bytes_max=10 * GRANULE_BYTES)
    for body_id in (ID, OTHER_ID):
        plan.want(body_id, height=1, responders=[TRAINER], now_ms=0)
        plan.progress(body_id, some(0, 8), now_ms=0)

    requests = plan.due(0)

    assert [sum(r.count for r in each.ranges) for each in requests] == [8, 2]


def test_a_body_of_which_nothing_is_known_waits_until_there_is_room_for_its_start() -> None:
    limit_bytes = 3 * GRANULE_BYTES
    plan = planner(push_grace_ms=0, outstanding_bytes_max=limit_bytes)
    for body_id in (ID, OTHER_ID):
        plan.want(body_id, height=1, responders=[TRAINER], now_ms=0)

    first = plan.due(0)
    plan.done(ID)
    now_ms = plan.next_due_ms()
    assert now_ms is not None
    second = plan.due(now_ms)

    assert [(each.body_id, each.ranges) for each in first] == [(ID, some(0, 3).ranges)]
    assert [(each.body_id, each.ranges) for each in second] == [(OTHER_ID, some(0, 3).ranges)]
    assert now_ms == ROOM_WAIT_MS


def test_nobody_able_to_answer_means_no_request() -> None:
    plan = planner(push_grace_ms=0)
    plan.want(ID, height=1, responders=[ME], now_ms=0)

    assert plan.due(0) == ()
    assert plan.asked(ID) is None
    plan.done(ID)
    assert plan.next_due_ms() is None


def body_id_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.3])
def test_a_body_arrives_whole_through_loss_and_a_lying_responder(loss: float, seed: int) -> None:
    # The trainer is honest but slow to answer (drops half of the requests); the first holder lies.
    rng = random.Random(seed)
    body = rng.randbytes(300 * GRANULE_BYTES + 17)
    body_id = body_id_of(body)
    made = BodyReceiver(body_id_of=body_id_of, limits=ReceiverLimits, counters=Counters())
    plan = planner(push_grace_ms=100, answer_timeout_ms=100, request_bytes_max=64 * GRANULE_BYTES)
    made.expect(body_id, origin=TRAINER, total_bytes=len(body))
    plan.want(body_id, height=1, responders=[HOLDER, TRAINER, SECOND], now_ms=0)
    answerers = {
        member: PullAnswerer(own_member=member, limits=AnswerLimits(), counters=Counters())
        for member in (TRAINER, HOLDER, SECOND)
    }

    def receive(packets: list[BodyPacket], sender: int, now_ms: int) -> bytes | None:
        for each in packets:
            if rng.random() < loss:
                continue
            if made.accept(each, sender=sender) is Outcome.FULL:
                whole = made.complete(body_id)
                if whole is not None:
                    return whole
            missing = Missing(ranges=made.missing(body_id), refused=made.refused_senders(body_id))
            plan.progress(body_id, missing, now_ms=now_ms)
        return None

    pushed = [each for each in cut(body, body_id, granules=7) if rng.random() > 0.2]
    result = receive(pushed, TRAINER, 0)
    now_ms = 0
    while result is None and now_ms < 60_000:
        next_ms = plan.next_due_ms()
        assert next_ms is not None
        now_ms = max(now_ms, next_ms)
        for asked in plan.due(now_ms):
            made.restrict(body_id, sender=asked.responder)
            if asked.responder == TRAINER and rng.random() < 0.5:
                continue
            source = bytes(len(body)) if asked.responder == HOLDER else body
            ranges = answerers[asked.responder].admitted(
                asked, body_bytes=len(source), requester=ME, now_ms=now_ms
            )
            answer = cut(source, body_id, granules=7, ranges=ranges)
            result = receive(list(answer) if ranges else [], asked.responder, now_ms)

    assert result == body


def test_a_responder_whose_answer_lost_some_packets_is_asked_again_for_these() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=100)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0)
    plan.progress(ID, some(0, 10), now_ms=0)
    plan.due(0)

    plan.progress(ID, some(5, 2), now_ms=50)
    (again,) = plan.due(150)
    plan.progress(ID, some(5, 2), now_ms=160)
    (other,) = plan.due(260)

    assert (again.responder, again.ranges) == (TRAINER, some(5, 2).ranges)
    assert (other.responder, other.ranges) == (HOLDER, some(5, 2).ranges)


def test_packets_that_bring_nothing_do_not_put_off_the_next_request() -> None:
    plan = planner(push_grace_ms=100, answer_timeout_ms=100)
    plan.want(ID, height=1, responders=[TRAINER, HOLDER], now_ms=0)
    plan.progress(ID, some(3, 5), now_ms=50)

    plan.progress(ID, some(3, 5), now_ms=149)
    first = plan.due(150)
    plan.progress(ID, some(3, 5), now_ms=249)
    second = plan.due(250)

    assert [each.responder for each in (*first, *second)] == [TRAINER, HOLDER]


def test_members_that_never_answer_do_not_keep_others_from_being_asked() -> None:
    plan = planner(push_grace_ms=0, answer_timeout_ms=100, backoff_max_ms=1600)
    for number in range(4):
        plan.want(bytes([10 + number] * 32), height=1, responders=[TRAINER], now_ms=0)
    plan.want(ID, height=1, responders=[HOLDER], now_ms=0)

    asked = [each.responder for each in plan.due(0)]

    # As much as all requests together may ask for is announced by one silent trainer.
    assert asked == [TRAINER, HOLDER]


def test_a_small_body_occupies_no_more_than_its_size() -> None:
    plan = planner(push_grace_ms=0)
    for number in range(20):
        body = bytes([10 + number] * 32)
        plan.want(body, height=1, responders=[TRAINER], now_ms=0, total_bytes=9000)

    asked = plan.due(0)

    assert [each.ranges for each in asked] == [(GranuleRange(first=0, count=3),)] * 20

"""Which pull requests are answered: each once, and boundedly many bytes (Rules P37, P91)."""

import random

from fednode.wire.answers import REQUESTS_PER_BODY, AnswerLimits, PullAnswerer
from fednode.wire.counters import Counters
from fednode.wire.packets import GRANULE_BYTES, GranuleRange, PullRequest

ID = bytes([1] * 32)
ME, TRAINER = 0, 1
BODY = random.Random(1).randbytes(20 * GRANULE_BYTES + 1)


def request(counter: int, *ranges: tuple[int, int], responder: int = ME) -> PullRequest:
    return PullRequest(
        height=1,
        responder=responder,
        counter=counter,
        body_id=ID,
        ranges=tuple(GranuleRange(first=first, count=count) for first, count in ranges),
    )


def answered(
    answerer: PullAnswerer, asked: PullRequest, *, requester: int = 5, now_ms: int = 0
) -> list[int]:
    ranges = answerer.admitted(asked, body_bytes=len(BODY), requester=requester, now_ms=now_ms)
    return [each.first + i for each in ranges for i in range(each.count)]


def test_a_request_is_answered_once_per_counter_and_requester() -> None:
    answerer = PullAnswerer(own_member=ME, limits=AnswerLimits(), counters=Counters())

    assert answered(answerer, request(7, (1, 2), (5, 1))) == [1, 2, 5]
    assert answered(answerer, request(7, (1, 2))) == []
    assert answered(answerer, request(6, (1, 2))) == []
    assert answered(answerer, request(7, (1, 2)), requester=6) == [1, 2]
    assert answered(answerer, request(8)) == list(range(21))


def test_a_request_to_another_member_is_not_answered() -> None:
    counters = Counters()
    answerer = PullAnswerer(own_member=ME, limits=AnswerLimits(), counters=counters)

    assert answered(answerer, request(1, (0, 1), responder=TRAINER)) == []
    assert counters.of("pull_for_another") == 1


def test_one_requester_draws_boundedly_many_bytes_per_window() -> None:
    limits = AnswerLimits(
        answer_bytes_max=8 * GRANULE_BYTES, requester_bytes_max=12 * GRANULE_BYTES, window_ms=1000
    )
    answerer = PullAnswerer(own_member=ME, limits=limits, counters=Counters())

    assert answered(answerer, request(1, (0, 20)), now_ms=0) == list(range(8))
    assert answered(answerer, request(2, (8, 20)), now_ms=1) == [8, 9, 10, 11]
    assert answered(answerer, request(3, (12, 20)), now_ms=999) == []
    assert answered(answerer, request(1, (6, 1)), requester=6, now_ms=999) == [6]
    assert answered(answerer, request(4, (6, 8)), now_ms=1000) == list(range(6, 14))


def test_many_requests_for_a_little_of_a_large_body_count_for_more() -> None:
    """Rule P37: for each of them all of the body is read and hashed."""
    limits = AnswerLimits(requester_bytes_max=2 * len(BODY))
    answerer = PullAnswerer(own_member=ME, limits=limits, counters=Counters())

    answers = [answered(answerer, request(number, (number % 20, 1))) for number in range(100)]

    assert sum(map(len, answers)) == 2 * REQUESTS_PER_BODY

"""Topics route and name nobody (Rules P3, P90)."""

from fednode.transport.base import TOPIC_BYTES_MAX, topic_matches
from fednode.wire.counters import REASONS_MAX, Counters
from fednode.wire.topics import topics_of

CHAIN, MEMBER = bytes(range(32)), 65_535


def test_topics_of_two_chains_share_nothing_below_their_first_level() -> None:
    one, other = topics_of(CHAIN), topics_of(bytes(32))

    assert one.root != other.root
    assert one.root.count("/") == 1
    assert CHAIN.hex()[:16] not in one.root


def test_every_topic_is_within_the_length_for_which_the_limit_was_measured() -> None:
    topics = topics_of(CHAIN)
    names = [topics.control, topics.bodies, topics.status(MEMBER)]
    names += [topics.requests(MEMBER), topics.answers(MEMBER)]

    assert len(set(names)) == 5
    assert all(name.startswith(topics.root) for name in names)
    assert max(len(name) for name in names) <= TOPIC_BYTES_MAX


def test_the_filter_for_every_status_covers_one_status_and_no_other_topic() -> None:
    topics = topics_of(CHAIN)

    assert topic_matches(topics.every_status, topics.status(MEMBER))
    assert not topic_matches(topics.every_status, topics.control)
    assert not topic_matches(topics.every_status, topics.requests(MEMBER))
    assert topic_matches(topics.every_request, topics.requests(MEMBER))
    assert topic_matches(topics.every_answer, topics.answers(MEMBER))
    assert not topic_matches(topics.every_answer, topics.requests(MEMBER))


def test_counters_count_by_reason_and_stay_bounded() -> None:
    counters = Counters()
    for number in range(REASONS_MAX + 10):
        counters.add(f"reason {number}", 2)

    assert counters.of("reason 0") == 2
    assert len(counters.all()) == REASONS_MAX
    assert sum(count for _, count in counters.all()) == 2 * (REASONS_MAX + 10)

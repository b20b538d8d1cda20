"""The launcher's picture of a network follows from event lines alone, in whatever order."""

import pytest

from fednode.testnet.view import Event, NetworkView


def make_view(members: int = 3, training_rounds: int = 2) -> NetworkView:
    names = [f"hospital-{number}" for number in range(members)]
    view = NetworkView(names=names, liars=[1], training_rounds=training_rounds, started_s=10.0)
    for number in range(members):
        view.apply({"event": "process", "member": number, "process_id": 100 + number}, 10.0)
    return view


def committed(member: int, height: int, **changes: object) -> Event:
    return {
        "event": "committed",
        "member": member,
        "height": height,
        "view": 0,
        "created_view": 0,
        "proposer": 2,
        "kind": "AGGREGATE",
        "training_round": height,
        "block_id": f"block-{height}",
        "model_id": f"model-{height}",
        "included": [0, 1, 2],
        "flagged": [1],
        "signers": [0, 2],
        "powers": {"0": 5, "1": 5, "2": 6},
    } | changes


def vote(voter: int, height: int, view: int = 0, *, phase: str = "PREPARE") -> Event:
    return {
        "event": "vote",
        "member": 0,
        "height": height,
        "view": view,
        "phase": phase,
        "voter": voter,
        "block_id": "ab",
        "reason": "",
    }


def test_first_commit_of_a_height_makes_it_and_later_ones_join() -> None:
    view = make_view()

    view.apply(committed(0, 1), 12.5)
    view.apply(committed(2, 1), 12.75)

    height = view.heights[1]
    assert (height.seconds, height.members, height.block.flagged) == (2.5, {0, 2}, (1,))
    assert view.powers == {0: 5, 1: 5, 2: 6}
    assert [member.height for member in view.members] == [1, 0, 1]


def test_two_blocks_of_one_height_are_reported() -> None:
    view = make_view()

    view.apply(committed(0, 1), 11.0)
    view.apply(committed(1, 1, block_id="another"), 11.0)

    assert len(view.disagreements) == 1
    assert "height 1: hospital-1 committed another" in view.disagreements[0]


def test_network_is_done_when_every_node_that_runs_has_the_last_training_round() -> None:
    view = make_view()
    for number in (0, 1):
        view.apply(committed(number, 2), 11.0)

    before = view.is_done
    view.apply({"event": "exit", "member": 2, "status": 1, "words": "disk full"}, 11.0)

    assert (before, view.is_done) == (False, True)
    assert view.members[2].last_words == "disk full"


def test_network_without_running_nodes_is_not_done() -> None:
    view = make_view(members=1)
    view.apply(committed(0, 2), 11.0)

    view.apply({"event": "exit", "member": 0, "status": -9, "words": ""}, 11.0)

    assert not view.is_done


def test_only_votes_of_the_newest_attempt_are_shown() -> None:
    view = make_view()

    for event in (vote(0, 1), vote(1, 1, 1), vote(2, 1), vote(2, 1, 1, phase="COMMIT")):
        view.apply(event, 11.0)

    assert (view.open.height, view.open.view) == (1, 1)
    assert view.open.votes == {"PREPARE": {1}, "COMMIT": {2}}


def test_vote_for_nothing_is_not_shown_as_a_vote() -> None:
    view = make_view()

    view.apply({**vote(0, 1), "block_id": ""}, 11.0)

    assert view.open.votes == {}


def test_commit_opens_the_next_height_and_late_votes_do_not_reopen_it() -> None:
    view = make_view()
    view.apply(vote(0, 1), 11.0)

    view.apply(committed(0, 1), 11.0)
    view.apply(vote(1, 1, 3), 11.0)

    assert (view.open.height, view.open.view, view.open.votes) == (2, 0, {})


def test_second_process_of_a_member_counts_as_a_restart() -> None:
    view = make_view()

    view.apply({"event": "process", "member": 1, "process_id": 200}, 11.0)

    assert [member.restarts for member in view.members] == [0, 1, 0]
    assert view.members[1].process_id == 200


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": "committed"},
        {"event": "committed", "member": 9},
        {"event": "committed", "member": 0},
        {"event": "committed", "member": True},
        {"event": "vote", "member": 0, "height": "1"},
        {"event": "phase", "member": 0},
        {"event": "unheard of", "member": 0},
    ],
)
def test_events_that_are_not_understood_change_nothing(event: Event) -> None:
    view = make_view()

    view.apply(event, 11.0)

    assert view.heights == {}
    assert (view.open.height, view.open.view, view.open.votes) == (1, 0, {})

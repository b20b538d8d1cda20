"""Four engines that talk: heights are decided whatever one of them does (rules P20-P36)."""

import random
from collections.abc import Iterable

import pytest

from consensus.messages import (
    BlocksMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.election import schedule
from ledger.keys import Signed, sign
from ledger.records import NIL, BlockKind, Phase, Vote, block_id
from ledger.state import initial_state
from tests.support.consensus.bench import equal_contract
from tests.support.consensus.cluster import Cluster


def first_proposer() -> int:
    contract = equal_contract()
    return schedule(contract, initial_state(contract))[0]


def assert_one_chain(cluster: Cluster, height: int) -> None:
    chains = {
        tuple(block_id(block.header) for block in host.blocks[:height])
        for host in cluster.hosts.values()
    }
    assert len(chains) == 1
    assert not any(host.halted for host in cluster.hosts.values())


def test_four_engines_decide_five_heights_in_view_zero() -> None:
    cluster = Cluster(equal_contract())

    cluster.run_until(5)

    assert_one_chain(cluster, 5)
    headers = [block.header for block in cluster.hosts[0].blocks[:5]]
    assert [header.created_view for header in headers] == [0] * 5
    assert all(header.kind is BlockKind.AGGREGATE for header in headers)
    assert len(headers[4].results.contributions) == 4


def test_the_chain_finishes_and_then_stays_silent_but_for_status() -> None:
    """Rule P15: no height opens when no training rounds are left."""
    cluster = Cluster(equal_contract(training_rounds=3))

    cluster.run_until(3)
    cluster.run_for(20_000)
    cluster.said.clear()
    cluster.run_for(5_000)

    assert {len(host.blocks) for host in cluster.hosts.values()} == {3}
    kinds = {type(message).__name__ for _, message in cluster.said}
    assert kinds == {"StatusMessage", "CertificateMessage"}


def test_a_dead_proposer_costs_a_view_and_no_height() -> None:
    """Rules P21, P30: without a proposal all prepare nil, and the next view decides."""
    dead = first_proposer()
    cluster = Cluster(equal_contract(), down=[dead])

    cluster.run_until(5)

    assert_one_chain(cluster, 5)
    views = [block.header.created_view for block in cluster.hosts[(dead + 1) % 4].blocks[:5]]
    assert views[0] == 1


@pytest.mark.parametrize("kind", [VoteMessage, ProposalMessage, HaveMessage, UpdateMessage])
def test_a_member_that_withholds_one_kind_of_message_stops_nobody(kind: type[Message]) -> None:
    """Rules P11, P27, P30: three of four are a quorum."""
    silent = first_proposer()

    def withhold(sender: int, _receiver: int, message: Message) -> Iterable[Message]:
        return () if sender == silent and isinstance(message, kind) else (message,)

    cluster = Cluster(equal_contract(), filter_messages=withhold)

    cluster.run_until(5)

    assert_one_chain(cluster, 5)


def test_a_wrong_aggregate_is_refused_and_the_next_proposer_is_believed() -> None:
    """Rule P13: voters recompute; a block that is wrong gets no quorum."""
    liar = first_proposer()
    cluster = Cluster(equal_contract(), lying_builders=[liar])

    cluster.run_until(5)

    assert_one_chain(cluster, 5)
    assert cluster.hosts[0].blocks[0].header.created_view == 1
    honest = [host for host in cluster.hosts.values() if host.member != liar]
    assert all(any("aggregate is another" in text for text in host.notices) for host in honest)


def test_an_equivocating_voter_is_banned_by_those_who_saw_both_and_stops_nobody() -> None:
    """Rules P34 and P45: two different votes of one kind and view."""
    contract = equal_contract()
    liar = first_proposer()

    def twice(sender: int, receiver: int, message: Message) -> Iterable[Message]:
        if sender != liar or not isinstance(message, VoteMessage) or receiver == liar:
            return (message,)
        return (message, VoteMessage(vote=other(message.vote), reason=""))

    def other(vote: Signed[Vote]) -> Signed[Vote]:
        statement = vote.statement
        changed = Vote(
            phase=statement.phase,
            height=statement.height,
            view=statement.view,
            valid_view=-1,
            block_id=NIL if statement.block_id else bytes(32),
        )
        return sign(changed, cluster.keys[liar], signer=liar, chain_id=cluster.chain_id)

    cluster = Cluster(contract, filter_messages=twice)

    cluster.run_until(5)

    honest = [host for host in cluster.hosts.values() if host.member != liar]
    assert len({block_id(host.blocks[4].header) for host in honest}) == 1
    assert not any(host.halted for host in honest)
    assert all(set(host.contradictions) == {liar} for host in honest)
    assert all(host.states[5].banned == (liar,) for host in honest)
    assert all(liar not in host.states[5].validators.members for host in honest)
    assert "a block banned this node's key" in cluster.hosts[liar].halted or (
        "signed with this node's key" in cluster.hosts[liar].halted
    )


def test_a_slow_member_still_gets_every_block() -> None:
    """Rules P28, P80: whoever is behind decides by certificate or catches up."""
    slow = (first_proposer() + 1) % 4
    late = 0

    def drop_most(_sender: int, receiver: int, message: Message) -> Iterable[Message]:
        nonlocal late
        late += receiver == slow
        return () if receiver == slow and late % 4 else (message,)

    cluster = Cluster(equal_contract(), filter_messages=drop_most)

    cluster.run_until(5)

    assert_one_chain(cluster, 5)


def test_a_member_cut_off_for_a_hundred_heights_catches_up_in_replies_of_64_blocks() -> None:
    """Rule P80: at most 64 verified blocks per reply, never a replay of training."""
    away = (first_proposer() + 1) % 4
    is_cut = True

    def cut(sender: int, receiver: int, message: Message) -> Iterable[Message]:
        return () if is_cut and away in {sender, receiver} and sender != receiver else (message,)

    cluster = Cluster(equal_contract(), filter_messages=cut)
    others = [host for host in cluster.hosts.values() if host.member != away]
    while min(len(host.blocks) for host in others) < 70:
        cluster.run_for(1_000)
    behind = len(cluster.hosts[away].blocks)
    is_cut = False

    cluster.run_until(72, limit_ms=10_000_000)

    assert behind == 0
    assert_one_chain(cluster, 72)
    sizes = [len(m.blocks) for _, m in cluster.said if isinstance(m, BlocksMessage)]
    assert max(sizes) == 64


def test_all_nodes_stopped_at_once_resume_where_they_were() -> None:
    """Rule P82: from the stores, without a coordinator, whatever the moment."""
    for moment in range(105, 175, 5):
        cluster = Cluster(equal_contract())
        cluster.run_for(moment)
        for member in cluster.hosts:
            cluster.boot(member)

        cluster.run_until(3)

        assert_one_chain(cluster, 3)
        assert signed_once(cluster), f"stopped at {moment} ms"


def signed_once(cluster: Cluster) -> bool:
    """Whether nobody signed two different statements for one slot, in all incarnations."""
    seen: dict[tuple[int, Phase, int, int], Vote] = {}
    for sender, message in cluster.said:
        if isinstance(message, VoteMessage) and message.vote.signer == sender:
            vote = message.vote.statement
            key = sender, vote.phase, vote.height, vote.view
            if seen.setdefault(key, vote) != vote:
                return False
    return True


def test_three_of_four_with_a_cut_link_go_on_once_the_link_is_back() -> None:
    """Rule P35: entry proofs are said again, so nobody is left behind in an earlier view."""
    contract = equal_contract()
    order = schedule(contract, initial_state(contract))
    silent, one, other = order[0], order[1], order[2]
    is_cut = True

    def cut(sender: int, receiver: int, message: Message) -> Iterable[Message]:
        """The silent one talks to `one` only, and later to nobody; one link carries no votes."""
        if sender == silent:
            return (message,) if is_cut and receiver == one else ()
        is_vote = not isinstance(message, HaveMessage | UpdateMessage)
        is_lost = is_cut and is_vote and {sender, receiver} == {one, other}
        return () if is_lost else (message,)

    cluster = Cluster(contract, filter_messages=cut)
    cluster.run_for(60_000)
    is_cut = False
    reached = max(len(host.blocks) for host in cluster.hosts.values())

    cluster.run_until(reached + 5, limit_ms=cluster.now_ms + 60_000)

    assert_one_chain(cluster, reached + 5)
    certificates = cluster.hosts[one].certificates
    assert max(each.view for each in certificates) > 0


def test_messages_lost_for_ever_are_made_up_for_by_saying_them_again(seed: int) -> None:
    """Rule P35: a third of all messages is lost, and nobody repeats them but the nodes."""
    rng = random.Random(seed)  # reproducible tests

    def lose(sender: int, receiver: int, message: Message) -> Iterable[Message]:
        return () if sender != receiver and rng.random() < 0.33 else (message,)

    cluster = Cluster(equal_contract(), filter_messages=lose)

    cluster.run_until(5)

    assert_one_chain(cluster, 5)
    assert signed_once(cluster)

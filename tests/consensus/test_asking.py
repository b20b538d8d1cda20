"""A node asks what it signed before it signs anything (rule P60)."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from consensus.asking import SHOWN_PER_PERIOD
from consensus.effects import (
    BlocksReceived,
    Halt,
    Persist,
    Publish,
    Send,
    Started,
    StatementsRequested,
    TimerKind,
    VoteReceived,
)
from consensus.messages import Statements, StatementsMessage, StatementsRequest
from consensus.record import INITIAL_RECORD, SlotKind, Step
from consensus.verification import verify_message
from ledger.errors import DecodeError
from ledger.genesis import Role
from ledger.keys import Signed
from ledger.records import HaveList, Phase, Vote, block_id
from tests.support.consensus.bench import (
    ASKS,
    COMMIT,
    NOTHING,
    PREPARE,
    Bench,
    equal_chain,
    equal_contract,
    started,
)
from tests.support.ledger import STUB_SCHEME, digest, have, stub_chain, with_roles


def asking() -> Bench:
    """A bench whose engine has asked and has no answer yet."""
    bench = Bench()
    bench.step(Started())
    return bench


def counter_of(bench: Bench) -> int:
    (request,) = [
        each.message.request.statement.counter
        for each in bench.history
        if isinstance(each, Publish) and hasattr(each.message, "request")
    ][-1:]
    return int(request)


def ask(bench: Bench, member: int, counter: int) -> tuple[str, ...]:
    request = bench.sign(StatementsRequest(height=1, counter=counter), member)
    return bench.step(StatementsRequested(request=bench.verified(request)))


def shown_votes(*votes: Signed[Vote]) -> Statements:
    return replace(NOTHING, votes=votes)


def own(bench: Bench, phase: Phase, view: int, block: bytes) -> Signed[Vote]:
    return bench.signed_vote(bench.member, phase, view, block)


def test_nothing_is_signed_while_no_peer_answers() -> None:
    bench = Bench()
    a = bench.block("A")

    begun = bench.step(Started())
    bench.hold(*bench.others)
    voted = bench.propose_and_check(a) + bench.votes(PREPARE, 0, block_id(a.header))

    assert begun == (ASKS, "STATUS 0")
    assert not any("PREPARE 0" in line or "HAVE" in line or "train" in line for line in voted)
    assert not any(isinstance(each, Persist) for each in bench.history)


def test_blocking_power_of_answers_is_enough_and_less_is_not() -> None:
    """With four equal members: two."""
    bench = asking()
    one, two, _ = bench.others

    first, again = bench.answer([one]), bench.answer([one])
    second = bench.answer([two])

    assert first == again == ()
    assert second == ("train 1",)
    assert (TimerKind.COLLECT, 0) in bench.timers()


def test_after_two_periods_without_answers_it_goes_on() -> None:
    bench = asking()

    first = bench.fire(TimerKind.ASK)
    second = bench.fire(TimerKind.ASK)

    assert first == (ASKS,)
    assert second == ("train 1",)


def test_what_came_meanwhile_is_not_lost() -> None:
    bench = asking()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))

    lines = bench.answer() + bench.check(a)

    assert "check A" in lines
    assert "PREPARE 0 A" in lines
    assert "COMMIT 0 A" in lines


def test_a_shown_commit_is_the_lock_and_is_said_again_not_contradicted() -> None:
    bench = asking()
    a, b = bench.block("A"), bench.block("B", view=1)
    prepared = bench.certificate(PREPARE, 0, block_id(a.header))
    shown = replace(
        shown_votes(
            own(bench, PREPARE, 0, block_id(a.header)), own(bench, COMMIT, 0, block_id(a.header))
        ),
        certificates=(prepared,),
    )

    lines = bench.answer(shown=shown)
    bench.votes(COMMIT, 0, b"")
    refused = bench.propose(b, 1)

    assert lines.count("persist") == 1
    assert lines.count("error") == 1
    assert "COMMIT 0 A" in lines
    assert bench.record.lock is not None
    assert bench.record.lock.block_id == block_id(a.header)
    valid = bench.engine._desk.record.certificate
    assert valid is not None
    assert valid.vote == prepared.vote
    assert "PREPARE 1 nil" in refused


def test_a_shown_vote_moves_view_and_step_and_nothing_is_signed_before_it() -> None:
    bench = asking()

    bench.answer(shown=shown_votes(own(bench, COMMIT, 2, b"")))
    late = bench.fire(TimerKind.PROPOSE, 0)

    assert (bench.engine.view, bench.record.step) == (2, Step.COMMIT)
    assert bench.record.slot(SlotKind.PREPARE) is None
    assert not any("PREPARE" in line for line in late)


def test_a_shown_have_is_not_signed_again_with_other_entries() -> None:
    bench = asking()
    state = bench.state
    signed = have(state, bench.member, bench.keys[bench.member], [bench.update(bench.others[0])])

    bench.answer(shown=replace(NOTHING, haves=(signed,)))
    lines = bench.hold(*bench.others) + bench.fire(TimerKind.COLLECT)

    assert not any("HAVE" in line for line in lines)
    slot = bench.record.slot(SlotKind.HAVE)
    assert slot is not None
    assert slot.signature == signed.signature


def test_a_shown_update_whose_body_is_lost_is_neither_trained_again_nor_listed() -> None:
    bench = asking()

    lines = bench.answer(shown=replace(NOTHING, updates=(bench.update(bench.member),)))
    bench.fire(TimerKind.COLLECT)

    assert "train 1" not in lines
    height = bench.engine._height
    assert height is not None
    assert bench.member not in height.facts.collection.held


def test_a_lost_body_is_known_to_be_lost_after_another_restart() -> None:
    bench = asking()
    bench.answer(shown=replace(NOTHING, updates=(bench.update(bench.member),)))
    slot = bench.record.slot(SlotKind.UPDATE)
    assert slot is not None

    bench.lost_updates = (bench.update(bench.member).statement.update_id,)
    bench.restart()

    height = bench.engine._height
    assert height is not None
    assert bench.member not in height.facts.collection.held


def test_a_shown_statement_that_contradicts_the_record_stops_the_node() -> None:
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.engine = bench.boot()
    bench.step(Started())

    lines = bench.answer(shown=shown_votes(own(bench, PREPARE, 0, digest("other"))))

    assert lines == ("halt",)


def test_statements_received_while_asking_raise_the_record_and_later_ones_stop() -> None:
    bench = asking()

    early = bench.step(VoteReceived(vote=bench.verified(own(bench, PREPARE, 1, b""))))
    bench.answer()
    late = bench.step(VoteReceived(vote=bench.verified(own(bench, PREPARE, 2, b""))))

    assert early == ()
    slot = bench.record.slot(SlotKind.PREPARE)
    assert slot is not None
    assert slot.view == 1
    assert late == ("halt",)


def test_a_node_signs_only_at_the_height_of_those_who_answered() -> None:
    """What it signed at lower heights is in blocks; they come first."""
    bench = asking()
    source = equal_chain(2, silent=(bench.member,))
    counter = counter_of(bench)
    for member in bench.others:
        bench.step(bench.answered(member, counter, height=3))
    waiting = bench.fire(TimerKind.COLLECT)

    lines = bench.step(
        BlocksReceived(blocks=tuple(source.blocks), certificate=source.certificates[-1])
    )

    assert waiting == ()
    assert "train 3" in lines


def test_own_statements_in_blocks_raise_the_record_while_asking() -> None:
    bench = asking()
    source = equal_chain(2)

    lines = bench.step(
        BlocksReceived(blocks=tuple(source.blocks), certificate=source.certificates[-1])
    )
    record = bench.engine._desk.signer.record  # type: ignore[union-attr]

    assert lines[0].startswith("commit")
    assert {slot.kind: slot.height for slot in record.slots} == {
        SlotKind.UPDATE: 2,
        SlotKind.HAVE: 2,
        SlotKind.COMMIT: 2,
    }


def test_own_statements_in_blocks_that_the_record_lacks_stop_the_node_later() -> None:
    bench = started()
    source = equal_chain(1)

    lines = bench.step(BlocksReceived(blocks=source.blocks[:1], certificate=source.certificates[0]))  # type: ignore[arg-type]

    assert lines == ("halt",)


def test_own_statements_in_a_proposed_block_are_compared_too() -> None:
    bench = started()
    block = bench.chain.build()

    assert bench.propose(block, 0) == ("halt",)


def test_blocks_that_come_keep_it_waiting_for_answers() -> None:
    bench = asking()
    source = equal_chain(1, silent=(bench.member,))
    bench.fire(TimerKind.ASK)
    blocks, certificate = tuple(source.blocks), source.certificates[-1]

    caught_up = bench.step(BlocksReceived(blocks=blocks, certificate=certificate))
    once = bench.fire(TimerKind.ASK)

    assert not any("train" in line for line in caught_up + once)
    assert "train 2" in bench.fire(TimerKind.ASK)


def test_everybody_is_shown_its_newest_statements_once_per_counter() -> None:
    """A node that itself waits answers too."""
    bench = asking()
    one = bench.others[0]
    votes = [bench.signed_vote(one, phase, view, b"") for phase in Phase for view in (0, 1)]
    for vote in votes:
        bench.step(VoteReceived(vote=bench.verified(vote)))
    bench.have(one, (0, 1))

    lines = ask(bench, one, 7)
    (shown,) = [
        each.message
        for each in bench.of_type(Send)
        if isinstance(each, Send) and isinstance(each.message, StatementsMessage)
    ]

    assert lines == (f"to {one}: show {one} its statements", f"to {one}: {ASKS}")
    assert shown.answer.statement.height == 1
    assert [each.statement.view for each in shown.statements.votes] == [1, 1]
    assert len(shown.statements.haves) == 1
    assert ask(bench, one, 7) == ()


def test_those_who_ask_on_and_on_are_not_answered_on_and_on() -> None:
    """Rule P37."""
    bench = started()
    one = bench.others[0]

    answers = [ask(bench, one, counter) for counter in range(2 * SHOWN_PER_PERIOD)]
    bench.fire(TimerKind.REBROADCAST)

    assert sum(map(bool, answers)) == SHOWN_PER_PERIOD
    assert ask(bench, one, 1_000) != ()


def test_the_answer_of_a_second_node_with_the_own_key_stops_this_one() -> None:
    first, second = started(), Bench()
    second.now_ms += 1
    second.step(Started())
    counter = counter_of(second)

    answered = ask(first, first.member, counter)
    lines = second.step(second.answered(second.member, counter))

    assert answered == (f"to {first.member}: show {first.member} its statements",)
    assert lines == ("halt",)
    (halt,) = second.of_type(Halt)
    assert isinstance(halt, Halt)
    assert "another node runs with this node's key" in halt.reason


def test_the_echo_of_the_own_question_is_nothing() -> None:
    bench = asking()

    assert ask(bench, bench.member, counter_of(bench)) == ()


def test_who_has_nobody_to_ask_does_not_wait() -> None:
    bench = Bench(chain=stub_chain(0, of=equal_contract(1)), member=0)

    assert "train 1" in bench.step(Started())


def test_an_answer_to_another_question_counts_nothing() -> None:
    bench = asking()

    for member in bench.others:
        bench.step(bench.answered(member, counter_of(bench) + 1))

    assert bench.fire(TimerKind.COLLECT) == ()


def messages(bench: Bench) -> Iterable[tuple[str, StatementsMessage]]:
    """Answers that no member may give, with what is wrong."""
    one, two = bench.others[:2]
    vote = own(bench, PREPARE, 0, b"")
    good = bench.answered(one, 1, shown=shown_votes(vote))
    yield "not what it names", StatementsMessage(answer=good.answer.signed, statements=NOTHING)
    foreign = shown_votes(bench.signed_vote(two, PREPARE, 0, b""))
    named = bench.answered(one, 1, shown=foreign)
    yield "of member", StatementsMessage(answer=named.answer.signed, statements=foreign)


def test_answers_whose_parts_do_not_fit_are_refused() -> None:
    bench = started()

    for problem, message in messages(bench):
        with pytest.raises(DecodeError, match=problem):
            verify_message(
                message,
                contract=bench.contract,
                state=bench.state,
                scheme=STUB_SCHEME,
            )


def test_a_trainer_without_a_vote_asks_as_well() -> None:
    of = with_roles(equal_contract(5), {4: Role.TRAINER})
    bench = Bench(chain=stub_chain(0, of=of), member=4)

    begun = bench.step(Started())

    assert begun == (ASKS, "STATUS 0")
    assert bench.answer() == ("train 1",)


def test_a_record_ahead_of_the_ledger_only_follows_also_when_peers_showed_it() -> None:
    bench = asking()
    ahead = bench.sign(HaveList(height=3, entries=()), bench.member)

    lines = bench.answer(shown=replace(NOTHING, haves=(ahead,)))

    assert lines.count("error") == 2
    assert not any("train" in line for line in lines)
    assert bench.record.height == 3 > INITIAL_RECORD.height

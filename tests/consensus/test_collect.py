"""Which updates are waited for, which are listed, what a proposer may build of them (P10-P12)."""

from dataclasses import replace

import pytest

from consensus.collect import HEADERS_PER_TRAINER_MAX, Collection
from consensus.effects import TimerKind, UpdateHeld, UpdateReceived
from ledger.genesis import Role
from ledger.keys import Signed
from ledger.records import HaveEntry, HaveList, UpdateHeader, header_digest
from tests.support.consensus.bench import Bench, equal_contract
from tests.support.ledger import Chain, digest, have, stub_chain, with_roles


def collection(chain: Chain, heard: dict[int, int] | None = None) -> Collection:
    return Collection(chain.contract, chain.state, heard or {})


def chain(length: int = 0, n: int = 4) -> Chain:
    return stub_chain(length, of=equal_contract(n))


def listing(bench: Bench, validator: int, *updates: Signed[UpdateHeader]) -> Signed[HaveList]:
    return have(bench.state, validator, bench.keys[validator], updates)


def test_have_is_signed_once_everything_expected_is_held() -> None:
    """Rule P11: not one update earlier, and without waiting for the timer."""
    bench = Bench()
    bench.start()

    early = bench.hold(*bench.others)
    last = bench.hold(bench.member)
    timer = bench.fire(TimerKind.COLLECT)

    assert early == ()
    assert last == ("persist", "UPDATE 1", "persist", "HAVE 4")
    assert timer == ()


@pytest.mark.parametrize("held", [0, 2])
def test_at_collect_timeout_have_lists_what_is_held_even_nothing(held: int) -> None:
    """Rule P11."""
    bench = Bench()
    started = bench.start()
    timers = bench.timers()
    bench.hold(*bench.others[:held])

    lines = bench.fire(TimerKind.COLLECT)

    assert started[0] == "train 1"
    assert timers[TimerKind.COLLECT, 0] == bench.contract.timeouts.collect_ms
    assert lines == ("persist", f"HAVE {held}")


def test_a_header_alone_is_not_held() -> None:
    """Rule P10: a validator lists what it has in full."""
    bench = Bench()
    bench.start()
    for trainer in bench.others:
        bench.step(UpdateReceived(update=bench.verified(bench.update(trainer))))

    lines = bench.fire(TimerKind.COLLECT)

    assert lines == ("persist", "HAVE 0")


def test_many_bodies_of_a_trainer_take_no_more_room_than_many_headers() -> None:
    """Rule P37; the first body held stays listed, with its header."""
    bench = Bench()
    known = collection(bench.chain)
    first = bench.update(0).statement
    for number in range(10 * HEADERS_PER_TRAINER_MAX):
        signed = bench.sign(replace(first, update_id=digest(f"body {number}")), 0)
        known.add_header(signed)
        known.hold(signed)

    assert len(known.headers) == HEADERS_PER_TRAINER_MAX
    assert [
        known.headers[entry.header_digest].statement.update_id for entry in known.entries()
    ] == [digest("body 0")]


def test_a_disqualified_update_is_not_listed() -> None:
    """Rules P10 and P12a: wrong base, wrong training round, wrong size."""
    bench = Bench()
    bench.start()
    good = bench.update(bench.others[0]).statement
    for trainer, change in zip(
        bench.others,
        (
            {"base_model_id": digest("other")},
            {"training_round": 7},
            {"n_elements": 1},
        ),
        strict=True,
    ):
        header = replace(good, trainer=trainer, **change)  # type: ignore[arg-type]
        bench.step(UpdateHeld(update=bench.verified(bench.sign(header, trainer))))

    lines = bench.fire(TimerKind.COLLECT)

    assert lines == ("persist", "HAVE 0")


def test_two_updates_of_one_trainer_are_reported_and_the_first_is_listed() -> None:
    """Rules P11, P34: one entry per trainer."""
    bench = Bench()
    bench.start()
    liar = bench.others[0]
    first = bench.update(liar)
    second = bench.sign(replace(first.statement, update_id=digest("second")), liar)

    bench.step(UpdateHeld(update=bench.verified(first)))
    lines = bench.step(UpdateHeld(update=bench.verified(second)))
    bench.fire(TimerKind.COLLECT)

    stored = bench.engine._desk.signer
    assert stored is not None
    own = stored.stored_have()
    assert own is not None
    assert lines == (f"contradiction {liar}", f"EVIDENCE {liar}")
    assert [each.header_digest for each in own.statement.entries] == [
        header_digest(first.statement, bench.state.chain_id)
    ]


def test_a_body_left_over_by_an_empty_block_counts_under_its_new_header() -> None:
    """Rule P10: the host says once that it holds a body; the header alone comes again."""
    bench = Bench()
    bench.start()
    trainer = bench.others[0]
    update = bench.update(trainer)
    other_height = bench.sign(replace(update.statement, height=7), trainer)
    bench.step(UpdateHeld(update=bench.verified(other_height)))

    bench.step(UpdateReceived(update=bench.verified(update)))
    lines = bench.fire(TimerKind.COLLECT)

    assert "HAVE 1" in lines


def test_everybody_is_expected_until_two_training_blocks_exist() -> None:
    """Rule P11: founding members count as admitted after the older of them."""
    assert collection(chain(0)).expected() == (0, 1, 2, 3)
    assert collection(chain(1)).expected() == (0, 1, 2, 3)

    built = chain(0)
    for _ in range(6):
        built.add(built.build(trainers=()))
    assert built.state.recent_training == ()
    assert collection(built).expected() == (0, 1, 2, 3)


def test_later_those_are_expected_that_were_included_or_heard_of() -> None:
    """Rule P11: in one of the last two training blocks, or a header for the last four heights."""
    built = chain(0, n=7)
    for _ in range(3):
        built.add(built.build(trainers=(0, 1, 2, 3, 4)))
    height = built.state.height + 1

    assert collection(built).expected() == (0, 1, 2, 3, 4)
    assert collection(built, {6: height - 4}).expected() == (0, 1, 2, 3, 4, 6)
    assert collection(built, {6: height - 5}).expected() == (0, 1, 2, 3, 4)


def test_members_that_do_not_train_are_not_expected() -> None:
    """Nothing assumes that validators and trainers are the same."""
    of = with_roles(equal_contract(5), {2: Role.VALIDATOR, 4: Role.TRAINER})

    assert collection(stub_chain(0, of=of)).expected() == (0, 1, 3, 4)


def test_a_proposer_takes_every_have_and_every_vouched_header() -> None:
    """Rule P12: blocking power of Q lists it; what one validator lists alone is left out."""
    bench = Bench()
    kept = collection(bench.chain)
    updates = [bench.update(trainer) for trainer in range(4)]
    for update in updates:
        kept.add_header(update)
    for validator in range(3):
        kept.add_have(listing(bench, validator, updates[0], *updates[1 : 2 + (validator == 0)]))

    content = kept.proposable()

    assert kept.has_quorum
    assert content is not None
    haves, headers = content
    assert [each.signer for each in haves] == [0, 1, 2]
    assert list(headers) == updates[:2]


def test_a_proposer_without_a_vouched_header_leaves_out_the_lists_that_name_it() -> None:
    """Rule P12: any quorum is valid; without a quorum it waits for the header."""
    bench = Bench()
    kept = collection(bench.chain)
    known, unknown = bench.update(0), bench.update(1)
    kept.add_header(known)
    for validator in range(4):
        held = (known, unknown) if validator < 2 else (known,)
        kept.add_have(listing(bench, validator, *held))
    missing = kept.proposable()

    kept.add_header(unknown)
    content = kept.proposable()

    assert missing is None
    assert content is not None
    assert list(content[1]) == [known, unknown]


def test_a_list_of_more_updates_than_there_are_trainers_is_as_good_as_none() -> None:
    """Rule P11: lists of liars cannot make a proposal too large for a packet."""
    bench = Bench()
    kept = collection(bench.chain)
    longest, longer = (
        bench.sign(
            HaveList(
                height=1,
                entries=tuple(
                    HaveEntry(trainer=each, header_digest=digest(f"header {each}"))
                    for each in range(count)
                ),
            ),
            validator,
        )
        for validator, count in ((1, 4), (2, 5))
    )

    contradicted = kept.add_have(longest), kept.add_have(longer)

    assert contradicted == (None, None)
    assert list(kept.haves) == [1]


def test_headers_that_not_every_have_shows_are_worth_repeating() -> None:
    """A proposer that lacks a vouched header cannot propose, and its trainer may be gone."""
    bench = Bench()
    kept = collection(bench.chain)
    everywhere, somewhere = bench.update(0), bench.update(1)
    kept.hold(everywhere)
    kept.hold(somewhere)
    for validator in range(4):
        held = (everywhere,) if validator == 3 else (everywhere, somewhere)
        kept.add_have(listing(bench, validator, *held))

    assert kept.doubtful() == (somewhere,)


def test_headers_of_one_trainer_are_bounded_but_listed_ones_always_kept() -> None:
    """Rule P37: a flood of headers cannot push out the one that others list."""
    bench = Bench()
    kept = collection(bench.chain)
    first = bench.update(0)
    flood = [
        bench.sign(replace(first.statement, update_id=digest(f"body {i}")), 0) for i in range(100)
    ]
    kept.add_have(listing(bench, 1, flood[99]))

    for each in flood:
        kept.add_header(each)

    assert len(kept.headers) == HEADERS_PER_TRAINER_MAX + 1
    assert flood[99] in kept.headers.values()


def test_haves_of_strangers_do_not_count() -> None:
    """Rule P11: power, not the number of lists."""
    of = with_roles(equal_contract(5), {4: Role.TRAINER})
    bench = Bench(chain=stub_chain(0, of=of), leads=0)
    kept = collection(bench.chain)

    for validator in (0, 1, 4):
        kept.add_have(listing(bench, validator))

    assert not kept.has_quorum
    assert set(kept.haves) == {0, 1}

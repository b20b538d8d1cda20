"""What is trained, and offered again when a height ended without it (rules P10, P11, P60)."""

from consensus.effects import BlocksReceived, UpdateTrained
from consensus.training import LATE_HEIGHTS
from ledger.records import UpdateHeader, block_id
from tests.support.consensus.bench import COMMIT, Bench, started
from tests.support.ledger import digest


def trained(bench: Bench, *, height: int = 1, base: bytes | None = None) -> tuple[str, ...]:
    return bench.step(
        UpdateTrained(
            height=height,
            training_round=1,
            base_model_id=bench.contract.model.initial_model_id if base is None else base,
            update_id=digest("own body"),
            n_elements=bench.contract.model.n_elements,
        )
    )


def empty_height(bench: Bench) -> None:
    """Let the others decide an EMPTY block."""
    block = bench.chain.build(trainers=(), listing=bench.others)
    bench.propose(block, 0)
    bench.certify(bench.certificate(COMMIT, 0, block_id(block.header)))


def test_a_trained_body_is_offered_again_after_an_empty_block_and_not_trained_again() -> None:
    """Rule P10: under a new header, because the height ended EMPTY."""
    bench = started()
    trained(bench)

    empty_height(bench)
    lines = [bench.shown(effect) for effect in bench.effects]

    assert bench.engine.height == 2
    assert "UPDATE 2" in lines
    assert not any(line.startswith("train") for line in lines)
    stored = bench.engine._desk.signer
    assert stored is not None
    update = stored.stored_update()
    assert update is not None
    assert (update.statement.update_id, update.statement.releases) == (digest("own body"), 1)


def test_training_that_is_under_way_is_not_asked_for_again_after_an_empty_block() -> None:
    bench = started()

    empty_height(bench)
    lines = [bench.shown(effect) for effect in bench.effects]
    late = trained(bench)

    assert not any(line.startswith("train") for line in lines)
    assert late == ("persist", "UPDATE 2")


def full_height(bench: Bench, *, listing_own: bool = False) -> None:
    """Let the others decide an AGGREGATE block."""
    others = bench.others
    trainers = None if listing_own else others
    block = bench.chain.build(listing=others, trainers=trainers)
    bench.chain.add(block, signing=others)
    certificate = bench.chain.certificate
    assert certificate is not None
    bench.step(BlocksReceived(blocks=(block,), certificate=certificate))


def own_update(bench: Bench) -> UpdateHeader:
    signer = bench.engine._desk.signer
    assert signer is not None
    stored = signer.stored_update()
    assert stored is not None
    return stored.statement


def test_what_is_ready_too_late_counts_at_the_next_height_with_its_old_base() -> None:
    """Rule P10."""
    bench = started()
    full_height(bench)

    lines = trained(bench, height=1)

    header = own_update(bench)
    assert lines == ("persist", "UPDATE 2")
    assert (header.height, header.training_round) == (2, 1)
    assert header.base_model_id == bench.contract.model.initial_model_id
    assert bench.engine._height is not None
    assert bench.member in bench.engine._height.facts.collection.held


def test_a_body_that_came_too_late_to_be_included_is_offered_again() -> None:
    """Rule P10: nothing is trained for this height then."""
    bench = started()
    trained(bench)

    full_height(bench)
    lines = [bench.shown(effect) for effect in bench.effects]

    assert "UPDATE 2" in lines
    assert (own_update(bench).training_round, own_update(bench).releases) == (1, 1)
    assert not any(line.startswith("train") for line in lines)


def test_who_has_caught_up_sends_nothing_late_at_the_next_height() -> None:
    """What was ready in time, behind a late one that had its place, is trained anew."""
    bench = started()
    full_height(bench)
    trained(bench, height=1)
    in_time = bench.step(
        UpdateTrained(
            height=2,
            training_round=2,
            base_model_id=bench.chain.state.model_id,
            update_id=digest("second body"),
            n_elements=bench.contract.model.n_elements,
        )
    )

    for _ in range(2):
        full_height(bench)
    lines = [bench.shown(effect) for effect in bench.effects]

    assert in_time == ()
    assert "train 4" in lines
    assert not any(line.startswith("UPDATE") for line in lines)


def test_a_trainer_that_is_far_too_late_says_so_for_its_own_height() -> None:
    """Rule P11: a header without a body, to be waited for next time."""
    bench = started()
    for _ in range(2):
        full_height(bench)

    lines = trained(bench, height=1)

    assert lines == ("persist", "UPDATE 1")


def test_a_restarted_trainer_does_not_train_what_it_has_signed() -> None:
    """Rule P60."""
    bench = started()
    trained(bench)

    lines = bench.restart()

    assert "UPDATE 1" in lines
    assert "train 1" not in lines


def test_a_trainer_that_is_later_than_anybody_waits_says_nothing() -> None:
    """Rule P11: after so many heights it is not expected, and its header would be of no use."""
    bench = started()
    for _ in range(LATE_HEIGHTS + 1):
        full_height(bench)

    assert trained(bench, height=1) == ()

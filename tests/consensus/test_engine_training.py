"""What is trained, and offered again when a height ended without it (rules P10, P11, P60)."""

from consensus.effects import (
    UpdateTrained,
)
from ledger.records import block_id
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


def test_a_trainer_that_is_ready_too_late_says_so_for_its_own_height() -> None:
    """Rule P11: a header without a body, to be waited for next time."""
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    lines = trained(bench, height=1)

    assert lines == ("persist", "UPDATE 1")


def test_a_restarted_trainer_does_not_train_what_it_has_signed() -> None:
    """Rule P60."""
    bench = started()
    trained(bench)

    lines = bench.restart()

    assert "UPDATE 1" in lines
    assert "train 1" not in lines

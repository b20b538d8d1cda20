"""Rules P15 and P16 among several engines: models are judged, training closes, the base returns."""

from collections.abc import Callable

from consensus.messages import Message, MetricsMessage
from ledger.genesis import Contract
from ledger.records import BlockKind, block_id
from tests.support.consensus.bench import equal_contract
from tests.support.consensus.cluster import Cluster
from tests.support.feedback import with_feedback

ROUNDS = 3


def judged_contract(*, reporters: range = range(4), patience: int = 3) -> Contract:
    return with_feedback(equal_contract(training_rounds=ROUNDS), reporters, patience=patience)


class Levels:
    """Figures by the order in which models are met; each member adds a level of its own."""

    def __init__(self, *levels: int, silent: tuple[int, ...] = ()) -> None:
        self._levels = levels
        self._silent = silent
        self._met: dict[bytes, int] = {}

    def __call__(self, member: int) -> Callable[[bytes], int] | None:
        if member in self._silent:
            return None
        return lambda model: 10**7 * member + self._level(model)

    def know(self, model: bytes) -> None:
        self._met.setdefault(model, len(self._met))

    def _level(self, model: bytes) -> int:
        self.know(model)
        return self._levels[self._met[model]]


def judging(levels: Levels, of: Contract, **options: object) -> Cluster:
    levels.know(of.model.initial_model_id)
    return Cluster(of, figures=levels, **options)  # type: ignore[arg-type]  # by name


def ended(cluster: Cluster) -> bool:
    return all(
        host.engine is not None and host.engine.is_finished for host in cluster.hosts.values()
    )


def test_the_best_model_follows_what_all_prefer_up_to_the_last_one() -> None:
    cluster = judging(Levels(0, 10, 20, 30), judged_contract())

    cluster.run_until(ROUNDS + 1)
    cluster.run_for(120_000)

    for host in cluster.hosts.values():
        kinds = [block.header.kind for block in host.blocks]
        assert kinds == [BlockKind.AGGREGATE] * ROUNDS + [BlockKind.EMPTY]
        assert host.states[-1].best.height == ROUNDS
        assert host.states[-1].best.model_id == host.states[-1].model_id
    assert ended(cluster)


def test_the_closing_height_does_not_wait_when_everybody_has_spoken() -> None:
    cluster = judging(Levels(0, 10, 20, 30), judged_contract())

    cluster.run_until(ROUNDS + 1)

    assert len(cluster.hosts[0].blocks[-1].metrics) == 4
    assert cluster.now_ms < cluster.contract.timeouts.collect_ms


def test_the_closing_height_ends_without_those_who_keep_silent() -> None:
    for silent in ((2,), (0, 1, 2, 3)):
        cluster = judging(Levels(0, 10, 20, 30, silent=silent), judged_contract())

        cluster.run_until(ROUNDS + 1)
        cluster.run_for(120_000)

        closing = cluster.hosts[0].blocks[-1]
        assert closing.header.kind is BlockKind.EMPTY
        assert {each.signer for each in closing.metrics}.isdisjoint(silent)
        assert cluster.hosts[0].states[-1].best.height == (ROUNDS if len(silent) == 1 else 0)
        assert len(cluster.hosts[0].blocks) == ROUNDS + 1
        assert ended(cluster)


def test_without_a_hold_out_no_height_closes_training() -> None:
    cluster = Cluster(equal_contract(training_rounds=ROUNDS))

    cluster.run_until(ROUNDS)
    cluster.run_for(120_000)

    assert len(cluster.hosts[0].blocks) == ROUNDS
    assert ended(cluster)


def test_models_that_all_regret_lead_back_to_the_first() -> None:
    cluster = judging(Levels(0, -(10**6), -(10**6), -(10**6)), judged_contract(patience=2))

    cluster.run_until(ROUNDS)

    for host in cluster.hosts.values():
        state = host.states[ROUNDS]
        assert state.returns == 1
        assert state.model_id == state.best.model_id == cluster.contract.model.initial_model_id
        assert host.blocks[ROUNDS - 1].header.results.model_id != state.model_id
    cluster.run_for(120_000)
    assert len(cluster.hosts[0].blocks) == ROUNDS
    assert ended(cluster)


def test_training_goes_on_from_the_model_to_which_the_base_returned() -> None:
    of = with_feedback(equal_contract(training_rounds=10), range(4), patience=1)
    cluster = judging(Levels(0, *[-(10**6)] * 10), of)

    cluster.run_until(8)

    bases = [block.header.base_model_id for block in cluster.hosts[0].blocks]
    initial = of.model.initial_model_id
    assert bases[0] == bases[2] == bases[4] == initial
    assert cluster.hosts[0].states[8].returns >= 3
    assert not any(host.halted for host in cluster.hosts.values())


def test_a_proposer_that_leaves_metrics_out_only_delays_them() -> None:
    """Omitted METRICS: the voters need none of them, and the next proposer carries them (P13)."""
    of = with_feedback(equal_contract(training_rounds=6), range(4))
    cluster = judging(Levels(*range(0, 70, 10)), of)
    cluster.dropping = frozenset({0, 1})

    cluster.run_until(7)

    blocks = cluster.hosts[2].blocks
    is_honest = {block.header.height: block.header.proposer in {2, 3} for block in blocks}
    assert set(list(is_honest.values())[1:]) == {True, False}
    carried = {each.statement.height for block in blocks for each in block.metrics}
    for height in range(1, 7):
        may_carry = [is_honest.get(height + ahead, False) for ahead in range(1, 4)]
        assert (height in carried) == any(may_carry)
    assert len({block_id(host.blocks[-1].header) for host in cluster.hosts.values()}) == 1


def test_members_that_hear_no_metrics_prepare_blocks_with_them() -> None:
    def deaf(_sender: int, receiver: int, message: Message) -> tuple[Message, ...]:
        return () if isinstance(message, MetricsMessage) and receiver != 0 else (message,)

    of = with_feedback(equal_contract(training_rounds=8), range(4))
    cluster = judging(Levels(*range(0, 100, 10)), of, filter_messages=deaf)

    cluster.run_until(8)

    for block in cluster.hosts[3].blocks:
        said = {each.signer for each in block.metrics}
        is_of_deaf = block.header.proposer != 0
        assert said <= ({block.header.proposer} if is_of_deaf else set(range(4)))
    assert all(block.header.created_view == 0 for block in cluster.hosts[3].blocks)

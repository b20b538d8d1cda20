"""One member's part of a training round, without a process around it."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from typing_extensions import override

from fednode.attacks import Attack, parse_attack
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    FitResult,
    Learner,
    Metrics,
    Parameters,
    TrainingSettings,
)
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import (
    KEPT_MAX,
    MomentumFolder,
    MomentumMemory,
    MomentumStore,
)
from fednode.learning.registry import build_learner, initial_model, learner_hash
from ledger.records import VALUE_MAX
from ledger.tensors import TensorSpec
from tests.fednode.learning.builders import SETTINGS, separable

TENSORS = (
    TensorSpec(name="a", shape=(2,), exponent=16),
    TensorSpec(name="b", shape=(), exponent=8),
)
MODEL = np.zeros(3, dtype=np.int32)


class ScriptedLearner:
    """Answers training round t with the update `updates[t]` for both tensors."""

    def __init__(self, updates: dict[int, float]) -> None:
        self.updates = updates

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        return {"a": rng.random(2), "b": np.zeros(())}

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        value = self.updates[context.training_round]
        del parameters
        delta = {"a": np.full(2, value), "b": np.full((), value)}
        return FitResult(delta=delta, samples=4, metrics={"loss": value})

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        return {"a": float(parameters["a"][0]), context.rows: 1.0}


def training(
    learner: Learner,
    *,
    momentum: float = 0.0,
    momenta: MomentumStore | None = None,
    attack: Attack | None = None,
) -> LocalTraining:
    return LocalTraining(
        learner=learner,
        settings=replace(SETTINGS, worker_momentum=momentum),
        tensors=TENSORS,
        member=0,
        momenta=momenta or MomentumMemory(),
        attack=attack,
    )


def network_training(settings: TrainingSettings, member: int) -> LocalTraining:
    tensors, _ = initial_model(settings, 3, settings.seed)
    return LocalTraining(
        learner=build_learner(settings, 3, {"training": separable()}),
        settings=settings,
        tensors=tensors,
        member=member,
        momenta=MomentumMemory(),
    )


def test_update_is_quantized_by_the_tensor_table() -> None:
    outcome = training(ScriptedLearner({1: 0.5})).fit(1, MODEL)

    assert outcome.delta.tolist() == [2**15, 2**15, 2**7]
    assert outcome.delta.dtype == np.int32
    assert (outcome.samples, outcome.metrics) == (4, {"loss": 0.5})


def test_worker_momentum_averages_over_training_rounds() -> None:
    member = training(ScriptedLearner({1: 1.0, 2: 0.0, 3: 0.0}), momentum=0.5)

    deltas = [member.fit(number, MODEL).delta[0] for number in (1, 2, 3)]

    assert deltas == [2**16, 2**15, 2**14]


def test_a_training_round_done_again_starts_from_the_state_before_it() -> None:
    member = training(ScriptedLearner({1: 1.0, 2: 3.0}), momentum=0.5)
    member.fit(1, MODEL)

    first, again = member.fit(2, MODEL), member.fit(2, MODEL)

    assert first.delta[0] == again.delta[0] == 2 * 2**16


def test_attack_changes_what_is_sent_but_not_the_momentum() -> None:
    momenta = MomentumMemory()
    liar = training(
        ScriptedLearner({1: 1.0}), momentum=0.5, momenta=momenta, attack=parse_attack("sign-flip:3")
    )

    delta = liar.fit(1, MODEL).delta
    kept = momenta.load_before(2)

    assert delta.tolist() == [-3 * 2**16, -3 * 2**16, -3 * 2**8]
    assert kept is not None
    assert kept.tolist() == [1.0, 1.0, 1.0]


def test_an_attack_beyond_the_range_saturates() -> None:
    liar = training(ScriptedLearner({1: 200.0}), attack=parse_attack("sign-flip:10"))

    assert liar.fit(1, MODEL).delta[0] == -VALUE_MAX


def test_a_liar_can_send_what_is_no_update_and_others_refuse_it() -> None:
    liar = training(ScriptedLearner({1: 1.0}), attack=parse_attack("overflow"))

    assert liar.fit(1, MODEL).delta.tolist() == [-(2**31)] * 3


def test_noise_is_the_same_when_a_training_round_is_done_again() -> None:
    liar = training(ScriptedLearner({1: 1.0, 2: 1.0}), attack=parse_attack("gaussian:3"))

    first, again, next_round = liar.fit(1, MODEL), liar.fit(1, MODEL), liar.fit(2, MODEL)

    assert first.delta.tolist() == again.delta.tolist()
    assert first.delta.tolist() != next_round.delta.tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 256.0])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_diverged_update_is_an_error_and_leaves_no_state(value: float, momentum: float) -> None:
    momenta = MomentumMemory()
    member = training(ScriptedLearner({4: value}), momentum=momentum, momenta=momenta)

    with pytest.raises(
        TrainerError, match=r"no update for training round 4.*the training diverged"
    ):
        member.fit(4, MODEL)

    assert momenta.load_before(5) is None


def test_a_learner_whose_tensors_are_not_the_contracts_is_an_error() -> None:
    other = TensorSpec(name="c", shape=(3,), exponent=16)
    member = replace(training(ScriptedLearner({1: 1.0})), tensors=(other,))

    with pytest.raises(TrainerError, match=r"expected tensors named \['c'\], got \['a', 'b'"):
        member.fit(1, MODEL)


class OneTensorLearner(ScriptedLearner):
    """Answers with `tensor` for the first tensor, whatever it is."""

    def __init__(self, tensor: object, *, samples: int = 4, loss: float = 0.5) -> None:
        super().__init__({})
        self.tensor, self.samples, self.loss = cast("Any", tensor), samples, loss

    @override
    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        delta = {"a": self.tensor, "b": parameters["b"] * 1.0}
        return FitResult(delta=delta, samples=self.samples, metrics={"loss": self.loss})


@pytest.mark.parametrize(
    ("learner", "complaint"),
    [
        (OneTensorLearner(np.zeros(3)), r"expected shape \(2,\) for tensor 'a', got \(3,\)"),
        (
            OneTensorLearner(np.zeros(2, int)),
            "expected an array of floats as tensor 'a', got int64",
        ),
        (OneTensorLearner(np.zeros(2, complex)), "floats as tensor 'a', got complex128"),
        (OneTensorLearner(np.array([None, 1.0])), "floats as tensor 'a', got object"),
        (OneTensorLearner([0.0, 0.0]), "floats as tensor 'a', got list"),
        (OneTensorLearner(np.zeros(2), samples=0), "at least 1 row trained on, got 0"),
        (OneTensorLearner(np.zeros(2), loss=np.nan), "the loss after it is nan: the training div"),
        (OneTensorLearner(np.zeros(2), loss=np.inf), "the loss after it is inf: the training div"),
    ],
)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_a_learner_must_not_return_is_one_sentence(
    learner: Learner, complaint: str, momentum: float
) -> None:
    momenta = MomentumMemory()

    with pytest.raises(TrainerError, match=f"member 0 has no update .* round 3: .*{complaint}"):
        training(learner, momentum=momentum, momenta=momenta).fit(3, MODEL)

    assert momenta.load_before(4) is None


def test_float32_is_as_good_as_float64() -> None:
    outcome = training(OneTensorLearner(np.full(2, 0.5, np.float32))).fit(3, MODEL)

    assert outcome.delta.tolist() == [2**15, 2**15, 0]


def test_a_model_that_does_not_fit_the_tensor_table_is_an_error() -> None:
    with pytest.raises(TrainerError, match=r"member 0 cannot use the model: expected a vector of"):
        training(ScriptedLearner({1: 1.0})).fit(1, MODEL[:2])


def test_momentum_of_another_network_is_refused() -> None:
    momenta = MomentumMemory()
    momenta.save(1, np.zeros(9))

    with pytest.raises(TrainerError, match="has 9 elements, the model 3: the state belongs to"):
        training(ScriptedLearner({2: 1.0}), momentum=0.9, momenta=momenta).fit(2, MODEL)


def test_evaluation_passes_the_scaled_model_and_the_row_set() -> None:
    model = np.array([2**16, 0, 0], dtype=np.int32)

    assert training(ScriptedLearner({})).evaluate(model, "test") == {"a": 1.0, "test": 1.0}


def test_built_in_learner_has_no_rows_but_those_given() -> None:
    member = network_training(SETTINGS, 0)

    with pytest.raises(DataError, match="no rows named hold_out: this member has training"):
        member.evaluate(np.zeros(4, dtype=np.int32), "hold_out")


def test_updates_differ_by_member_and_training_round_and_repeat() -> None:
    model = np.zeros(4, dtype=np.int32)

    same, again, other_member, other_round = (
        network_training(SETTINGS, member).fit(number, model).delta.tolist()
        for member, number in ((0, 1), (0, 1), (1, 1), (0, 2))
    )

    assert same == again
    assert same != other_member
    assert same != other_round


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_momentum_store_returns_the_newest_state_before_a_training_round(
    kind: str, tmp_path: Path
) -> None:
    store: MomentumStore = MomentumMemory() if kind == "memory" else MomentumFolder(tmp_path)
    for number in (1, 3):
        store.save(number, np.array([float(number)]))
    store.save(3, np.array([30.0]))

    found = [store.load_before(number) for number in (1, 2, 3, 4)]

    assert found[0] is None
    assert [float(state[0]) for state in found[1:] if state is not None] == [1.0, 1.0, 30.0]


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_momentum_store_keeps_only_the_newest_states(kind: str, tmp_path: Path) -> None:
    store: MomentumStore = MomentumMemory() if kind == "memory" else MomentumFolder(tmp_path)

    for number in range(KEPT_MAX + 3):
        store.save(number, np.array([float(number)]))

    assert store.load_before(3) is None
    assert store.load_before(4) is not None
    assert len(list(tmp_path.iterdir())) == (KEPT_MAX if kind == "folder" else 0)


def test_momentum_survives_a_restart_and_a_half_written_file(tmp_path: Path) -> None:
    MomentumFolder(tmp_path).save(1, np.array([1.5]))
    (tmp_path / "momentum-00000002.tmp").write_bytes(b"\x93NUM")

    restarted = MomentumFolder(tmp_path).load_before(3)

    assert restarted is not None
    assert restarted.tolist() == [1.5]


def test_a_damaged_momentum_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "momentum-00000001.npy").write_bytes(b"\x93NUM")

    with pytest.raises(TrainerError, match=r"momentum-00000001\.npy.*delete the file"):
        MomentumFolder(tmp_path).load_before(2)


def test_learner_hash_differs_by_model_and_covers_the_source_of_own_code() -> None:
    own = learner_hash(f"{__name__}:ScriptedLearner")

    assert len({learner_hash("logistic"), learner_hash("mlp"), own}) == 3
    assert len(own) == 32


def test_an_optimizer_that_cannot_be_read_is_refused_before_training() -> None:
    with pytest.raises(SettingsError, match="there is no optimizer 'lbfgs'"):
        build_learner(replace(SETTINGS, optimizer="lbfgs"), 3, {})


@pytest.mark.parametrize(
    ("model", "classes"), [("logistic", 2), ("softmax4", 4), ("linear", 0), ("cox", 0)]
)
def test_class_weights_must_fit_the_models_classes(model: str, classes: int) -> None:
    settings = replace(SETTINGS, model=model, optimizer="sgd,weights=1:2:3")

    with pytest.raises(SettingsError, match=f"3 class weights, the model '{model}' {classes} "):
        build_learner(settings, 3, {})


def test_labels_of_another_task_are_refused_before_training() -> None:
    rows = separable()

    with pytest.raises(DataError, match=r"expected labels of shape \(n, 2\), time and event"):
        build_learner(replace(SETTINGS, model="cox"), 3, {"training": rows})

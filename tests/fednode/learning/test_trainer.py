"""The training process: real processes, killed and restarted; no clock and no sleep."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from fednode.learning.data_spec import DataSpec
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.frames import encode_frame, pack_integers
from fednode.learning.job import TrainingJob, load_job, open_job, save_job
from fednode.learning.registry import initial_model
from fednode.learning.trainer import TrainerProcess, TrainerTimeouts
from ledger.genesis import Feature
from tests.fednode.learning import odd_learners
from tests.fednode.learning.builders import SETTINGS, save_npz, separable

MODEL = np.zeros(4, dtype=np.int32)
OWN = "tests.fednode.learning.odd_learners"


def build_job(folder: Path, **changes: object) -> TrainingJob:
    source = folder / "site.npz"
    save_npz(source, separable())
    tensors, _ = initial_model(SETTINGS, 3, 0)
    job = TrainingJob(
        data=DataSpec(source=str(source), hold_out_fraction=0.25),
        features=tuple(Feature(name=f"x{place}", mean="0.0", scale="1.0") for place in range(3)),
        settings=replace(SETTINGS, worker_momentum=0.9),
        tensors=tensors,
        member=2,
        state_folder=str(folder / "momentum"),
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def with_model(job: TrainingJob, name: str) -> TrainingJob:
    return replace(job, settings=replace(job.settings, model=name))


class Starter:
    """Starts training processes and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trainers: list[TrainerProcess] = []

    def create(self, job: TrainingJob, timeouts: TrainerTimeouts | None = None) -> TrainerProcess:
        save_job(self.folder / "job.json", job)
        trainer = TrainerProcess(self.folder / "job.json", timeouts)
        self.trainers.append(trainer)
        return trainer

    async def start(self, job: TrainingJob) -> TrainerProcess:
        trainer = self.create(job)
        await trainer.start()
        return trainer


@pytest_asyncio.fixture
async def starter(tmp_path: Path) -> AsyncIterator[Starter]:
    value = Starter(tmp_path)
    yield value
    for trainer in value.trainers:
        await trainer.close()


async def test_process_gives_the_update_that_training_in_place_gives(
    starter: Starter, tmp_path: Path
) -> None:
    job = build_job(tmp_path)
    trainer = await starter.start(job)

    outcomes = [await trainer.fit(number, MODEL) for number in (1, 2)]

    local = open_job(replace(job, state_folder=str(tmp_path / "other")))
    for number, outcome in zip((1, 2), outcomes, strict=True):
        expected = local.fit(number, MODEL)
        assert outcome.delta.tolist() == expected.delta.tolist()
        assert (outcome.samples, outcome.metrics) == (expected.samples, expected.metrics)


async def test_process_evaluates_on_the_members_own_hold_out(
    starter: Starter, tmp_path: Path
) -> None:
    trainer = await starter.start(build_job(tmp_path))
    model = np.array([2**20, 0, 0, 0], dtype=np.int32)

    metrics = await trainer.evaluate(model, "hold_out")

    assert metrics["samples"] == 10.0
    assert metrics["accuracy"] == 1.0
    with pytest.raises(DataError, match="no rows named test"):
        await trainer.evaluate(model, "test")


async def test_what_a_learner_prints_does_not_disturb_the_answers(
    starter: Starter, tmp_path: Path
) -> None:
    trainer = await starter.start(with_model(build_job(tmp_path), f"{OWN}:build_talking"))

    outcome = await trainer.fit(1, MODEL)

    assert outcome.delta.any()
    assert outcome.metrics == {"nice": min(os.nice(0) + 10.0, 19.0), "threads": 1.0}


async def test_a_killed_process_is_an_error_and_redoes_its_training_round(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv(odd_learners.GATE, str(gate))
    trainer = await starter.start(with_model(build_job(tmp_path), f"{OWN}:build_waiting"))
    await trainer.fit(1, MODEL)
    fit = asyncio.create_task(trainer.fit(2, MODEL))
    await asyncio.to_thread(_wait_for_reader, gate)
    assert trainer.process_id is not None

    os.kill(trainer.process_id, signal.SIGKILL)

    with pytest.raises(TrainerError, match="the training process ended: killed by SIGKILL"):
        await fit
    with pytest.raises(TrainerError, match="not running: start it first"):
        await trainer.fit(2, MODEL)
    gate.unlink()
    await trainer.start()
    again = await trainer.fit(2, MODEL)
    undisturbed = open_job(build_job(tmp_path, state_folder=str(tmp_path / "other")))
    undisturbed.fit(1, MODEL)
    assert again.delta.tolist() == undisturbed.fit(2, MODEL).delta.tolist()


def _wait_for_reader(gate: Path) -> None:
    # Opening a named pipe to write returns when the learner has opened it to read.
    descriptor = os.open(gate, os.O_WRONLY)
    _OPEN_GATES.append(descriptor)


_OPEN_GATES: list[int] = []


@pytest.fixture(autouse=True)
def _closed_gates() -> Iterator[None]:
    yield
    while _OPEN_GATES:
        os.close(_OPEN_GATES.pop())


async def test_a_process_that_does_not_answer_in_time_is_killed(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "gate")
    monkeypatch.setenv(odd_learners.GATE, str(tmp_path / "gate"))
    job = with_model(build_job(tmp_path), f"{OWN}:build_waiting")
    trainer = starter.create(job, TrainerTimeouts(fit_s=0.01))
    await trainer.start()
    process = os.pidfd_open(trainer.process_id or 0)

    with pytest.raises(TrainerError, match=r"did not answer within 0\.01 s and was killed"):
        await trainer.fit(2, MODEL)

    assert _has_ended(process, timeout_ms=10_000)


async def test_the_answer_to_a_cancelled_request_is_dropped(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv(odd_learners.GATE, str(gate))
    trainer = await starter.start(with_model(build_job(tmp_path), f"{OWN}:build_waiting"))
    fit = asyncio.create_task(trainer.fit(2, MODEL))
    await asyncio.to_thread(_wait_for_reader, gate)

    fit.cancel()
    os.close(_OPEN_GATES.pop())

    with pytest.raises(asyncio.CancelledError):
        await fit
    metrics = await trainer.evaluate(MODEL, "hold_out")
    assert metrics["samples"] == 10.0


async def test_a_crash_in_a_learner_is_reported_with_its_last_lines(
    starter: Starter, tmp_path: Path
) -> None:
    trainer = await starter.start(with_model(build_job(tmp_path), f"{OWN}:build_crashing"))

    with pytest.raises(TrainerError, match=r"exit status 1(?s:.*)Fatal Python error: Segmentation"):
        await trainer.fit(1, MODEL)


async def test_a_diverged_training_round_is_an_error_and_the_process_goes_on(
    starter: Starter, tmp_path: Path
) -> None:
    job = build_job(tmp_path)
    huge = tuple(replace(feature, scale="1e-300") for feature in job.features)
    trainer = await starter.start(replace(job, features=huge))

    with pytest.raises(TrainerError, match="member 2 has no update for training round 1"):
        await trainer.fit(1, MODEL)

    assert (await trainer.evaluate(MODEL, "training"))["samples"] == 30.0


async def test_a_job_that_cannot_be_done_is_refused_at_the_start(
    starter: Starter, tmp_path: Path
) -> None:
    job = build_job(tmp_path)
    no_file = starter.create(replace(job, data=replace(job.data, source="none.csv")))
    with pytest.raises(DataError, match=r"cannot read none\.csv"):
        await no_file.start()

    no_model = starter.create(with_model(job, "forest"))
    with pytest.raises(SettingsError, match="there is no model 'forest'"):
        await no_model.start()


async def test_a_closed_process_is_gone_and_closing_twice_is_fine(
    starter: Starter, tmp_path: Path
) -> None:
    trainer = await starter.start(build_job(tmp_path))
    process = os.pidfd_open(trainer.process_id or 0)

    await trainer.close()
    await trainer.close()

    assert trainer.process_id is None
    assert _has_ended(process, timeout_ms=0)


async def test_starting_again_ends_the_earlier_process(starter: Starter, tmp_path: Path) -> None:
    trainer = await starter.start(build_job(tmp_path))
    process = os.pidfd_open(trainer.process_id or 0)

    await trainer.start()

    assert _has_ended(process, timeout_ms=0)
    assert (await trainer.fit(1, MODEL)).samples == 30


_NODE = """
import asyncio, pathlib, sys
from fednode.learning.trainer import TrainerProcess

async def main():
    trainer = TrainerProcess(pathlib.Path(sys.argv[1]))
    await trainer.start()
    print(trainer.process_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_process_ends_when_its_node_is_killed(tmp_path: Path) -> None:
    save_job(tmp_path / "job.json", build_job(tmp_path))
    node = subprocess.Popen(
        [sys.executable, "-c", _NODE, str(tmp_path / "job.json")], stdout=subprocess.PIPE, text=True
    )
    with node:
        assert node.stdout is not None
        process = os.pidfd_open(int(node.stdout.readline()))

        node.kill()

        assert _has_ended(process, timeout_ms=10_000)


_STARTER = """
import os, subprocess, sys
command = [sys.executable, "-m", "fednode.learning.worker", sys.argv[1], str(os.getpid())]
worker = subprocess.Popen(command, stdout=subprocess.PIPE)
worker.stdout.read(1)
print(worker.pid, flush=True)
worker.wait()
"""


def test_process_ends_with_its_node_though_its_input_stays_open(tmp_path: Path) -> None:
    save_job(tmp_path / "job.json", build_job(tmp_path))
    node = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path / "job.json")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with node:
        assert node.stdout is not None
        process = os.pidfd_open(int(node.stdout.readline()))

        node.kill()

        assert _has_ended(process, timeout_ms=10_000)


def test_process_ends_when_its_input_ends_even_while_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv(odd_learners.GATE, str(gate))
    save_job(tmp_path / "job.json", with_model(build_job(tmp_path), f"{OWN}:build_waiting"))
    command = [sys.executable, "-m", "fednode.learning.worker", str(tmp_path / "job.json")]
    worker = subprocess.Popen(
        [*command, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with worker:
        assert worker.stdin is not None
        request = {"kind": "fit", "training_round": 2, "id": 1}
        worker.stdin.write(encode_frame(request, pack_integers(MODEL)))
        worker.stdin.flush()
        _wait_for_reader(gate)

        worker.stdin.close()

        has_ended = _has_ended(os.pidfd_open(worker.pid), timeout_ms=10_000)
        worker.kill()
        assert has_ended


def _has_ended(process: int, *, timeout_ms: int) -> bool:
    # The descriptor of a process becomes readable when the process ends.
    poll = select.poll()
    poll.register(process, select.POLLIN)
    try:
        return bool(poll.poll(timeout_ms))
    finally:
        os.close(process)


def test_job_comes_back_as_it_was_saved_readable_by_its_owner_only(tmp_path: Path) -> None:
    job = build_job(tmp_path, attack="sign-flip:3")

    save_job(tmp_path / "job.json", job)

    assert load_job(tmp_path / "job.json") == job
    assert (tmp_path / "job.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{}", '{"data": 1}'])
def test_a_file_that_is_no_job_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError, match=r"cannot read the training job .*job\.json"):
        load_job(tmp_path / "job.json")


def test_a_job_with_an_attack_sends_the_opposite(tmp_path: Path) -> None:
    honest = open_job(build_job(tmp_path)).fit(1, MODEL).delta
    liar = open_job(build_job(tmp_path, attack="sign-flip:2")).fit(1, MODEL).delta

    assert np.abs(liar + 2 * honest).max() <= 2
    assert honest.any()


def test_a_job_with_flipped_labels_trains_on_them(tmp_path: Path) -> None:
    honest = open_job(build_job(tmp_path)).fit(1, MODEL).delta
    liar = open_job(build_job(tmp_path, attack="label-flip")).fit(1, MODEL).delta

    assert float(honest.astype(float) @ liar) < 0


@pytest.mark.parametrize("answer", [{"kind": "ok"}, {"id": 1, "error": "unheard of"}])
def test_an_answer_that_names_no_question_or_an_unknown_error_is_what_ends_the_process(
    tmp_path: Path, answer: dict[str, object]
) -> None:
    """Rule P93: like bytes that are no frame; who waits for the answer would wait for ever."""
    trainer = TrainerProcess(tmp_path / "job.json")

    with pytest.raises(TrainerError, match="expected an answer with an id and a known kind"):
        trainer._settle(answer, b"")

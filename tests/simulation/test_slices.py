"""Long campaigns: what a line says, which lines count, and what a violation looks like."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.simulation import slices
from tests.simulation.runner import SeedResult
from tests.simulation.settings import draw_settings
from tests.simulation.slices import Slice, append_slice, engine_hash, next_seed, read_slices

ROOT = Path(__file__).resolve().parent.parent.parent


def load_command() -> ModuleType:
    """The script, which is in no package."""
    spec = importlib.util.spec_from_file_location("campaign", ROOT / "scripts" / "campaign.py")
    assert spec is not None
    assert spec.loader is not None
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    return command


campaign = load_command()
LINE = Slice(
    date="2026-01-31",
    kind="consensus",
    from_seed=0,
    to_seed=99,
    seeds=100,
    heights=700,
    views=80,
    violations=0,
    seconds=9,
    commit="0123456789ab",
    engine="e" * 16,
)


def test_a_line_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "campaigns.csv"
    later = replace(LINE, from_seed=100, to_seed=149, violations=1)

    append_slice(path, LINE)
    append_slice(path, later)

    assert read_slices(path) == (LINE, later)


def test_only_slices_of_the_present_program_count_and_each_seed_once() -> None:
    other = replace(LINE, engine="0" * 16, to_seed=5_000)
    again = replace(LINE, from_seed=50, to_seed=149)
    full = replace(LINE, kind="full", to_seed=9)

    totals = slices.summary((LINE, other, again, full), engine=LINE.engine)

    assert (totals["consensus"]["seeds"], totals["consensus"]["heights"]) == (150, 1400)
    assert totals["full"]["seeds"] == 10
    assert next_seed((LINE, other, again), kind="consensus", engine=LINE.engine) == 150
    assert next_seed((LINE, other), kind="full", engine=LINE.engine) == 0


def test_the_engine_hash_changes_with_what_is_tested_and_with_nothing_else(tmp_path: Path) -> None:
    for folder in slices.SOURCES:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part.py").write_text("a = 1\n")
    (tmp_path / "notes.py").write_text("b = 1\n")
    before = engine_hash(tmp_path)

    (tmp_path / "notes.py").write_text("b = 2\n")
    unchanged = engine_hash(tmp_path)
    changed = set()
    for folder in slices.SOURCES:
        (tmp_path / folder / "part.py").write_text("a = 2\n")
        changed.add(engine_hash(tmp_path))

    assert unchanged == before
    assert len(changed - {before}) == len(slices.SOURCES)


def test_full_seeds_use_real_signatures_and_consensus_seeds_do_not() -> None:
    assert all(draw_settings(seed, profile="full").is_real for seed in range(25))
    assert not any(draw_settings(seed, profile="consensus").is_real for seed in range(25))
    assert sum(draw_settings(seed).is_real for seed in range(100)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", campaign.KINDS)
def test_a_short_slice_is_run_recorded_and_continued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "campaigns.csv"
    monkeypatch.setattr(campaign, "why_dirty", lambda _: None)
    monkeypatch.setattr(slices, "CHUNK", 1)
    words = ["campaign.py", "--kind", kind, "--minutes", "0", "--jobs", "2", "--file", str(path)]
    monkeypatch.setattr(sys, "argv", words)

    statuses = [campaign.main(), campaign.main()]

    first, second = read_slices(path)
    assert statuses == [0, 0]
    assert (first.kind, first.from_seed, first.to_seed, first.seeds) == (kind, 0, 7, 8)
    assert (second.from_seed, second.engine) == (8, engine_hash(ROOT))
    assert first.heights >= 8 * campaign.HEIGHTS


def test_a_violation_is_counted_shown_with_its_replay_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "campaigns.csv"
    broken = SeedResult(seed=4, failure="agreement: two blocks", outcome=None)
    monkeypatch.setattr(campaign, "why_dirty", lambda _: None)
    monkeypatch.setattr(campaign, "run_seeds", lambda *_, **__: iter([broken]))
    monkeypatch.setattr(sys, "argv", ["campaign.py", "--from-seed", "4", "--file", str(path)])

    status = campaign.main()

    assert status == 1
    assert read_slices(path)[0].violations == 1
    shown = capsys.readouterr().out
    assert "seed 4 FAILED: agreement: two blocks" in shown
    assert "python scripts/simulate.py --profile consensus --seed 4 --trace" in shown


def test_a_tree_with_changes_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "campaigns.csv"
    monkeypatch.setattr(campaign, "git", lambda *_: " M consensus/rules.py\n")
    monkeypatch.setattr(sys, "argv", ["campaign.py", "--file", str(path)])

    status = campaign.main()

    assert status == 2
    assert "consensus/rules.py" in capsys.readouterr().err
    assert not path.exists()


def test_the_recorded_file_alone_may_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "git", lambda *_: " M docs/campaigns.csv\n")

    assert campaign.why_dirty(ROOT / "docs" / "campaigns.csv") is None
    assert campaign.why_dirty(ROOT / "docs" / "other.csv") is not None


def test_the_summary_is_printed_for_the_file_of_the_checkout() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/campaign.py", "--summary"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )

    assert f"engine hash {engine_hash(ROOT)}" in done.stdout

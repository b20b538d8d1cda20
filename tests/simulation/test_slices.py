"""Long campaigns: what a line says, which lines count, and what a violation looks like."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.simulation import slices
from tests.simulation.runner import SeedResult
from tests.simulation.settings import draw_settings
from tests.simulation.slices import Slice, append_slice, engine_hash, next_seed, read_slices
from tests.twins.runner import Slice as TwinsSlice

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
    scenarios=100,
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

    engines = {"consensus": LINE.engine, "full": "f" * 16}
    full = replace(full, engine=engines["full"])
    totals = slices.summary((LINE, other, again, full), engines=engines)

    assert (totals["consensus"]["seeds"], totals["consensus"]["heights"]) == (150, 1400)
    assert totals["full"]["seeds"] == 10
    assert next_seed((LINE, other, again), kind="consensus", engine=LINE.engine) == 150
    assert next_seed((LINE, other), kind="full", engine=engines["full"]) == 0


@pytest.mark.parametrize("kind", slices.SOURCES)
def test_the_engine_hash_changes_with_what_is_tested_and_with_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    sources = [tmp_path / each for each in slices.SOURCES[kind]]
    parts = [each if each.suffix else each / "part.py" for each in sources]
    for path in (*parts, tmp_path / "notes.py", parts[0].with_name("test_part.py")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a = 1\n")
    before = engine_hash(tmp_path, kind)

    (tmp_path / "notes.py").write_text("b = 2\n")
    parts[0].with_name("test_part.py").write_text("b = 2\n")
    unchanged = engine_hash(tmp_path, kind)
    changed = set()
    for path in parts:
        path.write_text("a = 2\n")
        changed.add(engine_hash(tmp_path, kind))

    assert unchanged == before
    assert len(changed - {before}) == len(parts)


def test_every_source_that_a_hash_covers_is_there() -> None:
    assert all((ROOT / each).exists() for sources in slices.SOURCES.values() for each in sources)


def test_a_slice_of_twins_is_run_recorded_and_continued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "campaigns.csv"
    counts = Counter(scenarios=512, runs=80, states=40, views=30, decided=20)
    monkeypatch.setattr(campaign, "why_dirty", lambda _: None)
    monkeypatch.setattr(
        campaign,
        "draw",
        lambda nodes, *, seeds, **_: TwinsSlice(
            begin=seeds.start, end=seeds.start + nodes, size=seeds.stop, counts=counts
        ),
    )
    monkeypatch.setattr(sys, "argv", ["campaign.py", "--kind", "twins-7", "--file", str(path)])

    statuses = [campaign.main(), campaign.main()]

    first, second = read_slices(path)
    assert statuses == [0, 0]
    assert (first.kind, first.from_seed, first.to_seed, second.from_seed) == ("twins-7", 0, 6, 7)
    assert (first.scenarios, first.heights, first.views, first.violations) == (512, 20, 30, 0)
    assert second.engine == engine_hash(ROOT, "twins-7")


def test_a_promise_that_twins_broke_is_counted_shown_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "campaigns.csv"
    done = TwinsSlice(begin=0, end=1, size=9, broken=["seed 0: /3,12: agreement"])
    monkeypatch.setattr(campaign, "why_dirty", lambda _: None)
    monkeypatch.setattr(campaign, "explore", lambda *_, **__: done)
    monkeypatch.setattr(sys, "argv", ["campaign.py", "--kind", "twins-4", "--file", str(path)])

    status = campaign.main()

    assert status == 1
    assert read_slices(path)[0].violations == 1
    assert "FAILED: seed 0: /3,12: agreement" in capsys.readouterr().out


def test_full_seeds_use_real_signatures_and_consensus_seeds_do_not() -> None:
    assert all(draw_settings(seed, profile="full").is_real for seed in range(25))
    assert not any(draw_settings(seed, profile="consensus").is_real for seed in range(25))
    assert sum(draw_settings(seed).is_real for seed in range(100)) == 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", campaign.PROFILES)
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
    assert (second.from_seed, second.engine) == (8, engine_hash(ROOT, kind))
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
    assert "python scripts/simulate.py --profile consensus --heights 2 --seed 4 --trace" in shown


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

    for kind in slices.SOURCES:
        assert f"{kind} (engine hash {engine_hash(ROOT, kind)})" in done.stdout

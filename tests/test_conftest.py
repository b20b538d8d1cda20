"""The shared fixtures skip on a laptop and fail in the gate."""

from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST, RequireData, rank, skip_or_fail

ROOT = Path(__file__).resolve().parent.parent


def test_a_missing_need_skips_when_nobody_requires_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDNODE_REQUIRE", "mosquitto")

    with pytest.raises(pytest.skip.Exception, match="no data here"):
        skip_or_fail("data", "no data here")


def test_a_missing_need_fails_when_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDNODE_REQUIRE", "mosquitto,data")

    with pytest.raises(pytest.fail.Exception, match="FEDNODE_REQUIRE names 'data'"):
        skip_or_fail("data", "no data here")


def test_data_are_found_in_the_named_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_data: RequireData
) -> None:
    (tmp_path / "heart").mkdir()
    monkeypatch.setenv("FEDNODE_TEST_DATA", str(tmp_path))
    monkeypatch.setenv("FEDNODE_REQUIRE", "data")

    assert require_data("heart") == tmp_path / "heart"
    with pytest.raises(pytest.fail.Exception, match="no lungs in the folder"):
        require_data("lungs")


def test_files_that_take_long_come_first_and_the_others_stay_in_order() -> None:
    long, longest = LONGEST_FIRST[1], LONGEST_FIRST[0]

    assert sorted(["one.py", "two.py", long, "a.py", longest], key=rank) == [
        longest,
        long,
        "one.py",
        "two.py",
        "a.py",
    ]


def test_each_file_that_is_named_for_taking_long_is_there() -> None:
    assert [file for file in LONGEST_FIRST if not (ROOT / file).is_file()] == []
    assert len(set(LONGEST_FIRST)) == len(LONGEST_FIRST)

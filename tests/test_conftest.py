"""The shared fixtures skip on a laptop and fail in the gate."""

from pathlib import Path

import pytest

from tests.conftest import RequireData, skip_or_fail


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

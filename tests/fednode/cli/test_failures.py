"""Errors become one sentence and an exit code in one place."""

from collections.abc import Callable

import pytest

from fednode.aggregation.errors import AggregationError, PinnedVectorError
from fednode.cli.failures import ExitCode, exit_code_of, is_debugging, run_guarded
from fednode.errors import ConfigError, NodeError
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.transport.errors import BrokerRefusedError, TransportError
from ledger.errors import ContractError, DecodeError, StorageError


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (DataError("x"), 2),
        (SettingsError("x"), 2),
        (AggregationError("x"), 2),
        (DecodeError("x"), 2),
        (ContractError("x"), 2),
        (BrokerRefusedError("x"), 2),
        (StorageError("x"), 3),
        (TransportError("x"), 3),
        (TrainerError("x"), 3),
        (NodeError("x"), 3),
        (PinnedVectorError("x"), 3),
        (OSError("x"), 3),
        (KeyError("x"), 70),
        (ValueError("x"), 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_has_the_exit_code_of_its_kind(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


def test_known_error_is_said_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    code = run_guarded(raising(ConfigError("expected a, got b; do c")), debug=False)

    assert code == ExitCode.WRONG_INPUT
    assert capsys.readouterr().err == "fednode: expected a, got b; do c\n"


def test_unknown_error_is_called_a_bug_and_tells_how_to_see_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run_guarded(raising(KeyError("height")), debug=False)

    said = capsys.readouterr().err
    assert code == ExitCode.BUG
    assert said.startswith("fednode: this is a bug in fednode, not a mistake of yours: KeyError")
    assert "fednode --debug" in said
    assert "Traceback" not in said


def test_debugging_lets_errors_through() -> None:
    with pytest.raises(KeyError):
        run_guarded(raising(KeyError("height")), debug=True)


def test_exit_codes_of_commands_are_kept() -> None:
    assert run_guarded(raising(SystemExit(1)), debug=False) == 1
    assert run_guarded(raising(SystemExit()), debug=False) == 0
    assert run_guarded(lambda: None, debug=False) == 0


def test_debugging_is_asked_for_by_option_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDNODE_DEBUG", raising=False)
    assert is_debugging(["fednode", "--debug", "run"])
    assert not is_debugging(["fednode", "run"])
    monkeypatch.setenv("FEDNODE_DEBUG", "1")
    assert is_debugging(["fednode", "run"])

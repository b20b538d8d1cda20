"""The one place where errors become a sentence and an exit code."""

import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Final

DEBUG_OPTION: Final = "--debug"
DEBUG_VARIABLE: Final = "FEDNODE_DEBUG"


class ExitCode(IntEnum):
    """What the exit code of a command means; 2 is also that of a wrong option."""

    OK = 0
    NO = 1
    """The answer is no: findings, differences."""
    WRONG_INPUT = 2
    """A file, setting or option is not what was expected: correct it."""
    ENVIRONMENT = 3
    """Disk or broker failed, or the node had to stop: see the sentence, then try again."""
    BUG = 70
    """A fault of fednode."""


def run_guarded(action: Callable[[], None], *, debug: bool) -> int:
    """Run a command line; return the exit code, having said on standard error what went wrong.

    Args:
        action: The command line; may end by `SystemExit`.
        debug: Whether errors pass through, with their traceback.
    """
    try:
        action()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.OK
    except Exception as error:
        if debug:
            raise
        code = exit_code_of(error)
        sys.stderr.write(f"fednode: {_sentence(error, code)}\n")
        return code
    return ExitCode.OK


def exit_code_of(error: Exception) -> ExitCode:
    """Return what an error means for the caller of a command."""
    # Imported when something failed: most commands never need all of them.
    from fednode.aggregation.errors import AggregationError, PinnedVectorError
    from fednode.errors import ConfigError, NodeError
    from fednode.learning.errors import DataError, SettingsError, TrainerError
    from fednode.transport.errors import BrokerRefusedError, TransportError
    from ledger.errors import LedgerError, StorageError

    match error:
        case StorageError():
            return ExitCode.ENVIRONMENT
        case ConfigError() | DataError() | SettingsError() | AggregationError() | LedgerError():
            return ExitCode.WRONG_INPUT
        case BrokerRefusedError():
            return ExitCode.WRONG_INPUT
        case TransportError() | TrainerError() | NodeError() | PinnedVectorError() | OSError():
            return ExitCode.ENVIRONMENT
        case _:
            return ExitCode.BUG


def is_debugging(arguments: list[str]) -> bool:
    """Return whether the user wants tracebacks."""
    return DEBUG_OPTION in arguments or bool(os.environ.get(DEBUG_VARIABLE))


def _sentence(error: Exception, code: ExitCode) -> str:
    if code is not ExitCode.BUG:
        return str(error) or type(error).__name__
    return (
        f"this is a bug in fednode, not a mistake of yours: {type(error).__name__}: {error}; "
        f"please report it with the traceback that 'fednode {DEBUG_OPTION} ...' prints"
    )

"""The folder of one local network: which files lie where, and who may use it.

```
DIR/genesis.fed, network-key.sealed   what every member got
DIR/test.csv                          rows that no member has
DIR/broker.log                        of the embedded broker
DIR/exports/NAME.fed, model.safetensors
DIR/NAME/                             a member's own: key, node.toml, rows.csv, node.log, state/
```
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fednode.config import GENESIS_NAME, NETWORK_KEY_NAME, STATE_NAME
from fednode.errors import ConfigError
from fednode.founding.members import CONFIG_NAME, card_name

RUNS: Final = Path("runs")
"""Where networks are put that nobody named a folder for; ignored by git."""
LABEL: Final = "label"
"""Column of the label in the files of rows that a test network writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFolder:
    """Paths below the folder of one network, all absolute."""

    root: Path

    @property
    def genesis(self) -> Path:
        """The signed contract."""
        return self.root / GENESIS_NAME

    @property
    def network_key(self) -> Path:
        """The network key, sealed for each member."""
        return self.root / NETWORK_KEY_NAME

    @property
    def test_rows(self) -> Path:
        """Rows that were held out before the sites were made."""
        return self.root / "test.csv"

    @property
    def broker_log(self) -> Path:
        """Log of the embedded broker."""
        return self.root / "broker.log"

    @property
    def exports(self) -> Path:
        """What is written for verification after the run."""
        return self.root / "exports"

    @property
    def model_file(self) -> Path:
        """The exported model of the last training round."""
        return self.exports / "model.safetensors"

    def member(self, name: str) -> Path:
        """Return the folder of the member with this name."""
        return self.root / folder_name(name)

    def rows(self, name: str) -> Path:
        """Return the file with a member's rows."""
        return self.member(name) / "rows.csv"

    def config(self, name: str) -> Path:
        """Return a member's configuration."""
        return self.member(name) / CONFIG_NAME

    def state(self, name: str) -> Path:
        """Return the folder of a member's ledger and blobs."""
        return self.member(name) / STATE_NAME

    def log(self, name: str) -> Path:
        """Return the log of a member's node."""
        return self.member(name) / "node.log"

    def export(self, name: str) -> Path:
        """Return the file that a member's ledger is exported to."""
        return self.exports / f"{folder_name(name)}.fed"


def folder_name(name: str) -> str:
    """Return a member's name as the name of a folder.

    Examples:
        >>> folder_name("Hospital 3")
        'hospital-3'
    """
    return card_name(name).removesuffix(".card")


def fresh_folder(path: Path | None, prefix: str, now: Callable[[], datetime]) -> NetworkFolder:
    """Make the folder of a new network.

    Args:
        path: Where; None for a name with date and time below `runs/`.
        prefix: Begin of that name.
        now: Tells the time.

    Raises:
        ConfigError: If the folder exists and is not empty, or cannot be made.
    """
    stamp = now().strftime("%Y%m%d-%H%M%S")
    wanted = [path] if path else [RUNS / f"{prefix}-{stamp}{end}" for end in ("", *_ENDINGS)]
    for each in wanted:
        root = each.expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=path is not None)
        except FileExistsError:
            if path is None:
                continue
            raise ConfigError(f"expected a folder at {each}, got a file; name another") from None
        except OSError as error:
            raise ConfigError(f"cannot make {each}: {error.strerror}; name another") from None
        if any(root.iterdir()):
            raise ConfigError(
                f"expected {each} to be empty, got files in it; name another folder, or go on with "
                "the network in it by --resume"
            )
        return NetworkFolder(root=root)
    raise ConfigError(f"there are too many folders {RUNS / prefix}-{stamp}; name one with --dir")


def used_folder(path: Path) -> NetworkFolder:
    """Return the folder of a network that exists.

    Raises:
        ConfigError: If there is none.
    """
    folder = NetworkFolder(root=path.expanduser().absolute())
    if not folder.genesis.is_file():
        raise ConfigError(
            f"expected a network in {path} to go on with, got no {GENESIS_NAME} there; leave out "
            "--resume to make a new one"
        )
    return folder


def local_time() -> datetime:
    """Return the local time of the computer."""
    return datetime.now(tz=UTC).astimezone()


_ENDINGS: Final = tuple(f"-{number}" for number in range(2, 100))

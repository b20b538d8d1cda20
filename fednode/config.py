"""The configuration of one node: `node.toml`, checked before anything else happens.

Relative paths in the file are relative to its folder, so that a member's folder can be moved.
"""

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)

from fednode.errors import ConfigError
from fednode.learning.data_spec import MISSING, DataSpec
from fednode.transport.settings import BrokerSettings

BUNDLED_PREFIX: Final = "sklearn:"
"""Data sources that are no file (`fednode.learning.sources`)."""
KEY_NAME: Final = "member.key"
GENESIS_NAME: Final = "genesis.fed"
NETWORK_KEY_NAME: Final = "network-key.sealed"
INITIAL_MODEL_NAME: Final = "initial-model.safetensors"
STATE_NAME: Final = "state"
CONFIG_BYTES_MAX: Final = 1 << 20


def _resolve(value: object, info: ValidationInfo) -> Path:
    # Text in the file, a path where it is the default or comes from a program.
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("the path of a file or folder")
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / Path(value).expanduser()


def _resolve_source(source: str, info: ValidationInfo) -> str:
    if not source or source.startswith(BUNDLED_PREFIX):
        return source
    return str(_resolve(source, info))


LocalPath = Annotated[Path, PlainValidator(_resolve)]
Source = Annotated[str, AfterValidator(_resolve_source)]
MemberName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A part of the file: every key is known, every value has exactly its type."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class NodeSection(Section):
    """Who this node is and where its files are."""

    name: MemberName = Field(description="this member's name in the contract")
    key_file: LocalPath = Field(
        default=Path(KEY_NAME),
        description="the secret key; it never leaves this computer, and two nodes never share it",
        validate_default=True,
    )
    genesis_file: LocalPath = Field(
        default=Path(GENESIS_NAME),
        description="the contract with the signatures of all members",
        validate_default=True,
    )
    network_key_file: LocalPath = Field(
        default=Path(NETWORK_KEY_NAME),
        description="the network key, sealed for each member",
        validate_default=True,
    )
    initial_model_file: LocalPath = Field(
        default=Path(INITIAL_MODEL_NAME),
        description="the model to start from, if the founders made a file of it",
        validate_default=True,
    )
    learner_file: LocalPath | None = Field(
        default=None,
        description="the contract's own learner; empty: the file of that name beside the genesis",
    )
    folder: LocalPath = Field(
        default=Path(STATE_NAME),
        description="where ledger, models, trainer state and status.json are kept",
        validate_default=True,
    )
    keep_heights: int = Field(
        default=0, ge=0, description="heights whose updates and models are kept; 0 keeps all"
    )


class BrokerSection(Section):
    """Which MQTT broker carries the messages; it sees sizes and times, never contents."""

    url: str = Field(description="mqtt://host:port, or mqtts://host:port for TLS")
    username: str = Field(default="", description="login name; empty for none")
    password_file: LocalPath | None = Field(
        default=None, description="file whose first line is the password"
    )
    ca_file: LocalPath | None = Field(
        default=None, description="PEM file of the authorities that vouch for the broker (TLS)"
    )
    cert_file: LocalPath | None = Field(
        default=None, description="PEM file with this node's certificate (TLS)"
    )
    key_file: LocalPath | None = Field(
        default=None, description="PEM file with the key of that certificate (TLS)"
    )
    keep_trying: bool = Field(
        default=False, description="start although the broker cannot be reached yet, and wait"
    )
    first_connect_ms: int = Field(
        default=30_000, ge=1, description="longest wait for the first connection, in milliseconds"
    )

    def settings(self) -> BrokerSettings:
        """Return what the transport needs."""
        return BrokerSettings(
            url=self.url,
            username=self.username,
            password_file=self.password_file,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            keep_trying=self.keep_trying,
            first_connect_ms=self.first_connect_ms,
        )


class DataSection(Section):
    """This member's rows; they are read here and never leave this computer."""

    source: Source = Field(description="a .csv or .npz file, or sklearn:NAME")
    label: str = Field(default="", description="column of the label; empty means the last one")
    positive: str = Field(
        default="", description="which labels are positive, such as '> 0'; empty: they are 0 and 1"
    )
    header: bool = Field(default=True, description="whether the first line names the columns")
    column_names: tuple[str, ...] = Field(
        default=(), description="names for the columns of a file without a header"
    )
    drop_columns: tuple[str, ...] = Field(default=(), description="columns that are not used")
    categorical: tuple[str, ...] = Field(
        default=(), description="columns of categories: one indicator each but the first"
    )
    drop_missing_rows: bool = Field(
        default=False, description="leave out rows with a missing value instead of imputing"
    )
    allow_one_class: bool = Field(
        default=False, description="train also when all own rows have the same label"
    )
    missing: tuple[str, ...] = Field(default=MISSING, description="cells that mean a missing value")
    site_column: str = Field(default="", description="column that names the site of each row")
    split: str = Field(
        default="", description="iid or dirichlet:ALPHA divides one source; empty means none"
    )
    sites: int = Field(default=1, ge=1, description="number of sites of that split")
    site: str = Field(
        default="", description="this member's site: value of site_column, or number in the split"
    )
    seed: int = Field(default=0, ge=0, description="seed of split and hold-outs")
    test_source: Source = Field(
        default="", description="file with a common test set; empty means none"
    )
    test_fraction: Share = Field(
        default=0.0, description="share of the source held out as the common test set"
    )
    hold_out_fraction: Share = Field(
        default=0.0,
        description="share of the own rows on which models are judged and never trained; as agreed",
    )

    def spec(self) -> DataSpec:
        """Return what the training process needs."""
        return DataSpec(**self.model_dump())


class TrialSection(Section):
    """For test networks only."""

    attack: str = Field(
        default="", description="let this node lie, such as sign-flip:10; empty in earnest"
    )


class NodeConfig(Section):
    """One node's configuration.

    Attributes:
        data: None for a validator without data.
        terms: Terms that this member insists on, by their name in `fednode genesis show --json`.
    """

    node: NodeSection
    broker: BrokerSection
    data: DataSection | None = None
    terms: dict[str, str | int] = Field(default_factory=dict)
    test: TrialSection = Field(default_factory=TrialSection)


_SECTIONS: Final[dict[str, type[Section]]] = {
    "node": NodeSection,
    "broker": BrokerSection,
    "data": DataSection,
    "test": TrialSection,
}


def load_config(path: Path) -> NodeConfig:
    """Return the configuration in a file, its paths made independent of the working folder.

    Raises:
        ConfigError: If the file cannot be read or a key is wrong; the text names the key, what was
            expected and what came.
    """
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(f"{path}: expected a configuration, got more than 1 MiB")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return parse_config(table, folder=path.parent, where=str(path))
    except OSError as error:
        raise ConfigError(
            f"expected a configuration file at {path}, got: {error.strerror}; "
            "make one with 'fednode init'"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, got: {error}; correct that line") from None


def parse_config(table: dict[str, Any], *, folder: Path, where: str) -> NodeConfig:
    """Return the configuration in a table of plain values.

    Args:
        table: Sections by name.
        folder: What relative paths are relative to.
        where: Where the table came from, for errors.

    Raises:
        ConfigError: If a key is wrong.
    """
    # As JSON, since pydantic's strict mode takes a list for a tuple and text for a path only there.
    text = json.dumps(table, default=str)
    try:
        return NodeConfig.model_validate_json(text, context={"folder": folder.absolute()})
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    others = (
        f" (keys that are wrong besides: {count - 1})" if (count := error.error_count()) > 1 else ""
    )
    match first["type"]:
        case "missing":
            return f"expected the key {place}, got none; add it{others}"
        case "extra_forbidden":
            return f"the key {place} is unknown; {_advice(first['loc'])}{others}"
        case _:
            wanted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            return f"{place}: expected {wanted}, got {json.dumps(first['input'])}{others}"


def _advice(place: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = NodeConfig
    for part in place[:-1]:
        section = _SECTIONS[str(part)]
    known = list(section.model_fields)
    close = get_close_matches(str(place[-1]), known, n=1)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"


def write_config(path: Path, config: NodeConfig) -> None:
    """Write a configuration in which every key is explained; an existing file is replaced.

    Paths below the file's folder are written relative to it.
    """
    path.write_text(format_config(config, folder=path.parent.absolute()), encoding="utf-8")


def format_config(config: NodeConfig, *, folder: Path) -> str:
    """Return the text of a configuration file that is to lie in `folder`."""
    lines = ["# Configuration of one node. Relative paths are relative to this file's folder."]
    for name in _SECTIONS:
        section: Section | None = getattr(config, name)
        if section is not None:
            lines += ["", f"# {type(section).__doc__}", f"[{name}]"]
            lines += _format_section(section, folder)
    lines += ["", "# Terms of the contract that this member insists on, for example", "[terms]"]
    lines += ['# "aggregation.rule_id" = "nnm-geometric-median"']
    lines += [
        f"{json.dumps(key)} = {_format(value, folder)}" for key, value in config.terms.items()
    ]
    return "\n".join(lines) + "\n"


def _format_section(section: Section, folder: Path) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        line = f'# {name} = ""' if value is None else f"{name} = {_format(value, folder)}"
        lines += [f"# {field.description}", line]
    return lines


def _format(value: object, folder: Path) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(_format(item, folder) for item in value)}]"
        case _:
            return _quote(_relative(str(value), folder))


def _relative(text: str, folder: Path) -> str:
    prefix = f"{folder}/"
    return text.removeprefix(prefix) if text.startswith(prefix) else text


def _quote(text: str) -> str:
    # A JSON string is a TOML string, but for one character that TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

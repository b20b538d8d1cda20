"""The configuration file: what it accepts, what it refuses and in which words."""

from dataclasses import fields
from pathlib import Path

import pytest

from fednode.config import (
    BrokerSection,
    DataSection,
    NodeConfig,
    NodeSection,
    TrialSection,
    load_config,
    write_config,
)
from fednode.errors import ConfigError
from fednode.learning.data_spec import DataSpec

MINIMAL = """
[node]
name = "a"
[broker]
url = "mqtt://localhost"
[data]
source = "rows.csv"
"""


def load(folder: Path, text: str) -> NodeConfig:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)

    assert config.node.key_file == tmp_path / "member.key"
    assert config.node.folder == tmp_path / "state"
    assert config.data is not None
    assert config.data.spec().source == str(tmp_path / "rows.csv")


def test_absolute_paths_and_bundled_sources_stay(tmp_path: Path) -> None:
    text = MINIMAL.replace('"rows.csv"', '"sklearn:iris"\ntest_source = "/tests.csv"')

    config = load(tmp_path, text)

    assert config.data is not None
    assert config.data.source == "sklearn:iris"
    assert config.data.test_source == "/tests.csv"


def test_data_section_has_exactly_the_fields_of_a_data_spec() -> None:
    expected = {field.name: field.default for field in fields(DataSpec)}

    actual = {name: field.default for name, field in DataSection.model_fields.items()}

    assert actual.keys() == expected.keys()
    assert {name: actual[name] for name in actual if name != "source"} == {
        name: expected[name] for name in expected if name != "source"
    }


def test_broker_section_becomes_settings_of_the_transport(tmp_path: Path) -> None:
    text = MINIMAL.replace("[data]", 'username = "u"\npassword_file = "secret"\n[data]')

    settings = load(tmp_path, text).broker.settings()

    assert settings.url == "mqtt://localhost"
    assert settings.username == "u"
    assert settings.password_file == tmp_path / "secret"


def test_written_configuration_reads_back_equal(tmp_path: Path) -> None:
    def written(folder: Path) -> NodeConfig:
        return NodeConfig(
            node=NodeSection(
                name='quote " back \\ \x7f \n é',
                key_file=folder / "member.key",
                genesis_file=folder / "genesis.fed",
                network_key_file=folder / "network-key.sealed",
                initial_model_file=folder / "initial-model.safetensors",
                folder=folder / "state",
            ),
            broker=BrokerSection(url="mqtt://localhost", ca_file=Path("/etc/ca.pem")),
            data=DataSection(source="/rows.csv", drop_columns=("x", "y"), hold_out_fraction=0.25),
            terms={"training.seed": 3, "aggregation.rule_id": "mean"},
        )

    config = written(tmp_path)
    write_config(tmp_path / "node.toml", config)

    assert load_config(tmp_path / "node.toml") == config


def test_written_configuration_explains_every_key_and_can_be_moved(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()

    write_config(tmp_path / "node.toml", config)
    text = (tmp_path / "node.toml").read_text(encoding="utf-8")
    moved = load(tmp_path / "new", text)

    for section in (NodeSection, BrokerSection, DataSection, TrialSection):
        for name in section.model_fields:
            assert f"\n{name} = " in text or f"\n# {name} = " in text, name
    assert moved.node.key_file == tmp_path / "new" / "member.key"


def test_validator_without_data_needs_no_data_section(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL[: MINIMAL.index("[data]")])

    assert config.data is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "a"', "", r"expected the key node\.name, got none; add it"),
        ('name = "a"', 'name = ""', r'node\.name: .*at least 1 character, got ""'),
        ('name = "a"', "name = 7", r"node\.name: expected a valid string, got 7"),
        ('name = "a"', 'name = "a"\nfoldr = "x"', r"node\.foldr is unknown; did you mean folder\?"),
        ('name = "a"', 'name = "a"\nkeep_heights = -1', r"node\.keep_heights: .* got -1"),
        ("[data]", '[data]\nheader = "yes"', r'data\.header: expected a valid boolean, got "yes"'),
        ("[data]", "[data]\nlabels = 3", r"data\.labels is unknown; did you mean label\?"),
        ("[data]", "[data]\ntest_fraction = 1.0", r"data\.test_fraction: .*less than 1, got 1\.0"),
        ("[data]", "[brokre]\n[data]", r"the key brokre is unknown; did you mean broker\?"),
        ("[data]", "[q]\n[data]", "the key q is unknown; expected one of node, broker, data"),
        ("[data]", "data]", "expected TOML, got: .*line 6.*; correct that line"),
        (
            "[data]",
            "password_file = 3\n[data]",
            r"broker\.password_file: expected the path .*3",
        ),
        ("url =", "url = 3 #", r"broker\.url: expected a valid string, got 3"),
    ],
)
def test_wrong_key_is_named_with_what_was_expected(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        load(tmp_path, MINIMAL.replace(old, new))


def test_further_wrong_keys_are_counted(tmp_path: Path) -> None:
    text = MINIMAL.replace('name = "a"', "name = 1\nfolder = 2")

    with pytest.raises(ConfigError, match=r"keys that are wrong besides: 1"):
        load(tmp_path, text)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml, got: No such file .* 'fednode init'"):
        load_config(tmp_path / "nothing.toml")


def test_huge_or_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"

    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="expected TOML"):
        load_config(path)
    path.write_bytes(b" " * (1 << 21))
    with pytest.raises(ConfigError, match="more than 1 MiB"):
        load_config(path)

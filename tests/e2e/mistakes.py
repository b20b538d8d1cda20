"""Mistakes of users, each with the command that meets it and the sentence that it must give."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from fednode.cli.failures import ExitCode
from fednode.founding.contracts import ContractOptions
from fednode.founding.genesis_files import load_genesis, save_genesis
from fednode.founding.keys import create_key_file
from tests.e2e.commands import Place, fednode, free_port, set_broker
from tests.fednode.founding.support import found, seed_of

Arrange: TypeAlias = Callable[[Place], list[str]]
BAD, SICK = ExitCode.WRONG_INPUT, ExitCode.ENVIRONMENT
RUN = ["run", "--config", "one/node.toml"]
SICK_LABEL = ("--label", "sick")
NO_SITE = ("--site-column", "dose", "--site", "7")
CARD, GENESIS = "one/one.card", "one/genesis.fed"
NEW_MEMBER = ["init", "one", "--name", "one", "--broker", "mqtt://h"]
OPEN_BROKER = ["broker", "--host", "192.0.2.1"]
EXPORT_OVER = ["ledger", "export", "one", "--out", "one.csv"]


@dataclass(frozen=True)
class Case:
    """A mistake: what it is, the command or what prepares it, its exit code and its sentence."""

    desc: str
    arrange: Arrange | list[str]
    code: ExitCode
    says: str

    def command(self, place: Place) -> list[str]:
        return self.arrange if isinstance(self.arrange, list) else self.arrange(place)


# --- Data ---------------------------------------------------------------------------------------


def create(*more: str) -> list[str]:
    return ["genesis", "create", *more, "--name", "x"]


def init(source: str, *more: str) -> list[str]:
    return ["init", "new", "--name", "new", "--broker", "mqtt://h", "--data", source, *more]


def no_rows(place: Place) -> list[str]:
    return init(place.write("empty.csv", "age,dose,sick\n"), *SICK_LABEL)


def one_class(place: Place) -> list[str]:
    return init(place.write("well.csv", "age,sick\n1,0\n2,0\n"), *SICK_LABEL)


def text_for_a_number(place: Place) -> list[str]:
    return init(place.write("text.csv", "age,sick\nold,0\n2,1\n"), *SICK_LABEL)


def all_missing_column(place: Place) -> list[str]:
    rows = place.write("gap.csv", "age,dose,sick\n1,,0\n2,,1\n3,,1\n")
    done = fednode(place.folder, *init(rows, *SICK_LABEL))
    assert done.returncode == 0, done.stderr
    return create("new/new.card")


def column_lost_after_signing(place: Place) -> list[str]:
    place.write("lost.csv", "age,sick\n" + "".join(f"{row},{row % 2}\n" for row in range(12)))
    text = place.toml.read_text(encoding="utf-8")
    place.toml.write_text(re.sub(r'source = ".*"', 'source = "../lost.csv"', text))
    return RUN


# --- Founding -----------------------------------------------------------------------------------


def tampered_card(place: Place) -> list[str]:
    card = place.member / "one.card"
    card.write_text(card.read_text(encoding="utf-8").replace('"count": 12', '"count": 11', 1))
    return create(str(card))


def unsigned_genesis(place: Place) -> list[str]:
    path = place.config.node.genesis_file
    save_genesis(path, replace(load_genesis(path), signatures=()))
    return RUN


def signing_other_terms(place: Place) -> list[str]:
    place.edit_config("[terms]", '[terms]\n"aggregation.rule_id" = "mean"')
    return ["genesis", "sign", "one/genesis.fed", "--config", "one/node.toml"]


# --- Starting -----------------------------------------------------------------------------------


def wrong_genesis(place: Place) -> list[str]:
    other = found(place.folder / "other", ("other",)).members[0]
    shutil.copy(other.config.node.genesis_file, place.config.node.genesis_file)
    return RUN


def ledger_of_another_genesis(place: Place) -> list[str]:
    shutil.rmtree(place.member)
    network = found(place.folder / "other", ("one",), ContractOptions(name="other"))
    shutil.copytree(network.members[0].folder, place.member)
    set_broker(place.toml, place.broker_url)
    return RUN


def damaged_genesis(place: Place) -> list[str]:
    path = place.config.node.genesis_file
    path.write_bytes(path.read_bytes()[:-10])
    return RUN


def wrong_key(place: Place) -> list[str]:
    path = place.config.node.key_file
    path.unlink()
    create_key_file(path, seed_of("stranger"))
    return RUN


def readable_key(place: Place) -> list[str]:
    place.config.node.key_file.chmod(0o644)
    return RUN


def lost_key(place: Place) -> list[str]:
    place.config.node.key_file.unlink()
    return RUN


def network_key_of_another_member(place: Place) -> list[str]:
    other = found(place.folder / "other", ("other",)).members[0]
    shutil.copy(other.config.node.network_key_file, place.config.node.network_key_file)
    return RUN


def unknown_key_in_config(place: Place) -> list[str]:
    place.edit_config("keep_heights", "keep_height")
    return RUN


def broken_config(place: Place) -> list[str]:
    place.toml.write_text("[node\n", encoding="utf-8")
    return RUN


def other_local_settings(place: Place) -> list[str]:
    place.edit_config('positive = ""', 'positive = "== 1"')
    return RUN


# --- Broker -------------------------------------------------------------------------------------


def broker_down(place: Place) -> list[str]:
    set_broker(place.toml, f"mqtt://127.0.0.1:{free_port()}")
    return RUN


def wrong_url(place: Place) -> list[str]:
    set_broker(place.toml, "http://127.0.0.1:1883")
    return RUN


def tls_to_a_plain_broker(place: Place) -> list[str]:
    # Longer than a TLS handshake may take.
    set_broker(place.toml, place.broker_url.replace("mqtt:", "mqtts:"), first_connect_ms=6_500)
    return RUN


def port_in_use(place: Place) -> list[str]:
    return ["broker", "--port", place.broker_url.rpartition(":")[2]]


# --- Disk ---------------------------------------------------------------------------------------


def truncated_database(place: Place) -> list[str]:
    path = place.database
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return RUN


def overwritten_database(place: Place) -> list[str]:
    path = place.database
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    path.write_bytes(bytes(data))
    return RUN


# --- Looking ------------------------------------------------------------------------------------


def verify_without_genesis(place: Place) -> list[str]:
    done = fednode(place.folder, "ledger", "export", "one", "--out", "x.fed")
    assert done.returncode == 0, done.stderr
    return ["ledger", "verify", "x.fed"]


def model_of_another_chain(place: Place) -> list[str]:
    done = fednode(place.folder, "model", "export", "one", "--out", "m.safetensors")
    assert done.returncode == 0, done.stderr
    found(place.folder / "other", ("other",))
    genesis = "other/other/genesis.fed"
    return ["model", "predict", "m.safetensors", "--genesis", genesis, "--data", "one.csv"]


CASES = (
    Case("unknown column", init("one.csv", "--label", "ill"), BAD, "no column 'ill': it has age"),
    Case("empty site", init("one.csv", *SICK_LABEL, *NO_SITE), BAD, "no site '7': it has 0, 1, 2"),
    Case("file without rows", no_rows, BAD, "no rows"),
    Case("one-class site", one_class, BAD, "expected rows of both .*, got 2 negative .*; check"),
    Case("text in a number", text_for_a_number, BAD, "is 'old': expected a finite number; name"),
    Case("no such data file", init("nothing.csv", *SICK_LABEL), BAD, "cannot read .*nothing.csv"),
    Case("all-missing column", all_missing_column, BAD, "'dose' has no value at any site: drop"),
    Case("lost column", column_lost_after_signing, BAD, "feature 'dose' is not in the data"),
    Case("tampered card", tampered_card, BAD, "expected the card of 'one' as .* ask its member"),
    Case("genesis exists", create(CARD, "--out", GENESIS), BAD, "expected no file at .*, got one"),
    Case("unknown model", create(CARD, "--model", "forest"), BAD, "no model 'forest': choose one"),
    Case("unknown rule", create(CARD, "--rule", "best"), BAD, "expected a rule of .*, got 'best'"),
    Case("member exists", NEW_MEMBER, BAD, "expected no node.toml in .*, got one; name another"),
    Case("unsigned genesis", unsigned_genesis, BAD, "signed by all members, got none of one; coll"),
    Case("other terms", signing_other_terms, BAD, "rule_id: here 'mean', in the contract 'nnm-"),
    Case("wrong genesis", wrong_genesis, BAD, "expected the network key of chain .*; take both"),
    Case("damaged genesis", damaged_genesis, BAD, "expected a genesis, got: .*; copy it again"),
    Case("wrong key", wrong_key, BAD, "expected the key of a member of 'one', got .*; check"),
    Case("readable key", readable_key, BAD, "owner only .*, got 644; run 'chmod 600"),
    Case("lost key", lost_key, BAD, "expected the secret key at .*; restore it"),
    Case("foreign network key", network_key_of_another_member, BAD, "expected the network key of"),
    Case("unknown setting", unknown_key_in_config, BAD, "node.keep_height is unknown; did you me"),
    Case("broken config", broken_config, BAD, "expected TOML, got: .*; correct that line"),
    Case("no config", ["run", "--config", "no.toml"], BAD, "expected a configuration file at no"),
    Case("other settings", other_local_settings, BAD, "data.positive: here '== 1', in the contr"),
    Case("events nowhere", [*RUN, "--events", "a/b"], BAD, "expected --events to name a file"),
    Case("broker down", broker_down, SICK, "nothing listens there: start the broker, ch"),
    Case("wrong URL", wrong_url, BAD, "expected mqtt://host:port or mqtts://host:port, got"),
    Case("TLS to plain", tls_to_a_plain_broker, SICK, "does not answer: check host, port"),
    Case("port in use", port_in_use, BAD, "something else listens there: choose another port"),
    Case("broker for all", OPEN_BROKER, BAD, "expected a loopback address, got '192.0.2.1'"),
    Case("truncated database", truncated_database, SICK, "damaged|malformed"),
    Case("overwritten database", overwritten_database, SICK, "damaged|malformed"),
    Case("height beyond", ["ledger", "show", "one", "9"], BAD, "height from 1 to 3, .*got 9; name"),
    Case("no folder", ["status", "nothing"], BAD, "expected a member's folder .*, got neither"),
    Case("export over a file", EXPORT_OVER, BAD, "expected no file at one.csv, got one"),
    Case("no genesis", verify_without_genesis, BAD, "expected --genesis .*, got none; obtain"),
    Case("foreign model", model_of_another_chain, BAD, "expected a model of chain .*; name the"),
)

"""A small network on made-up rows, for the tests of founding and of the commands."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from fednode.config import BrokerSection, DataSection
from fednode.founding.consent import sign_contract
from fednode.founding.contracts import ContractOptions, make_contract
from fednode.founding.genesis_files import save_genesis
from fednode.founding.keys import MemberKey
from fednode.founding.members import MemberFolder, create_member
from fednode.founding.network_key import seal_network_key
from ledger.genesis import Contract, Genesis

NETWORK_KEY = bytes(range(32))
FOUR = ("a", "b", "c", "d")
BROKER = BrokerSection(url="mqtt://127.0.0.1:1")


def seed_of(name: str) -> bytes:
    return sha256(name.encode()).digest()


def key_of(name: str) -> MemberKey:
    return MemberKey(seed_of(name))


def write_rows(path: Path, *, offset: float = 0.0, rows: int = 12) -> DataSection:
    """A file with two columns of which the first decides the label, and its description."""
    lines = ["age,dose,sick"]
    lines += [f"{row + offset},{row % 3},{int(row >= rows // 2)}" for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return DataSection(source=str(path), label="sick")


def make_members(folder: Path, names: tuple[str, ...]) -> tuple[MemberFolder, ...]:
    folder.mkdir(exist_ok=True)
    return tuple(
        create_member(
            folder / name,
            name=name,
            broker=BROKER,
            data=write_rows(folder / f"{name}.csv", offset=float(number)),
            seed=seed_of(name),
        )
        for number, name in enumerate(names)
    )


@dataclass(frozen=True)
class Network:
    members: tuple[MemberFolder, ...]
    genesis: Genesis

    @property
    def contract(self) -> Contract:
        return self.genesis.contract


def found(
    folder: Path,
    names: tuple[str, ...] = ("a", "b", "c", "d"),
    options: ContractOptions | None = None,
) -> Network:
    """Found a network of members in folders of their own, signed by all, files in place."""
    members = make_members(folder, names)
    contract = make_contract(
        [member.card for member in members], options or ContractOptions(name="test")
    )
    genesis = Genesis(contract=contract, signatures=())
    for name in names:
        genesis = sign_contract(genesis, key_of(name).signing)
    for member in members:
        save_genesis(member.config.node.genesis_file, genesis)
        member.config.node.network_key_file.write_bytes(seal_network_key(contract, NETWORK_KEY))
    return Network(members=members, genesis=genesis)


def with_signatures(genesis: Genesis, members: tuple[int, ...]) -> Genesis:
    kept = tuple(each for each in genesis.signatures if each.member in members)
    return replace(genesis, signatures=kept)

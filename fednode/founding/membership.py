"""All that a node starts with: genesis, keys and number, checked against its own settings (P1)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fednode.changes.next_key import load_next_key, promote_next_key
from fednode.config import NodeConfig
from fednode.errors import ConfigError
from fednode.founding.consent import missing_signatures, number_of
from fednode.founding.genesis_files import load_genesis, read_public_file
from fednode.founding.keys import MemberKey, load_key_file
from fednode.founding.members import millionths_held
from fednode.founding.network_key import number_in_file, open_network_key
from fednode.founding.terms import Difference, Term, contract_terms, differences
from fednode.learning.learner_file import OwnCode, check_code, file_name_of
from fednode.learning.models import is_built_in
from fednode.learning.preprocessing import preprocess
from fednode.learning.registry import learner_hash
from fednode.learning.site_data import load_site
from fednode.wire.envelope import NetworkKey
from ledger.genesis import Contract, Genesis
from ledger.genesis_rules import check_genesis
from ledger.keys import SecretKey
from ledger.membership import contract_in_force
from ledger.state import State, initial_state
from ledger.store import DATABASE_NAME, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A member's place in a network.

    Attributes:
        member: This member's number.
        key: Its secret key: the one in force, as far as this node's ledger tells.
        next_key: The key after a rotation, if one was made (rule P81).
        key_file: Where the key lies, and the next one beside it; None where it is in memory only.
        genesis: The contract, signed by all.
        network_key: Seals what the broker sees (rule P90).
    """

    member: int
    key: SecretKey = field(repr=False)
    genesis: Genesis
    network_key: NetworkKey
    next_key: SecretKey | None = field(default=None, repr=False)
    key_file: Path | None = None

    @property
    def keys(self) -> tuple[SecretKey, ...]:
        """The member's keys, the one in force first."""
        return (self.key,) if self.next_key is None else (self.key, self.next_key)


def open_membership(config: NodeConfig) -> Membership:
    """Load and check everything that a node starts with.

    Raises:
        ConfigError: If a file is missing or wrong, or local settings differ from the contract; the
            text then lists every difference.
        ContractError: If the contract cannot hold or a member has not signed it.
        DataError: If the member's rows cannot be read.
        SettingsError: If the contract's learner is not installed.
    """
    keys = own_keys(config)
    genesis = load_genesis(config.node.genesis_file)
    missing = missing_signatures(genesis)
    if missing:
        raise ConfigError(
            f"expected {config.node.genesis_file} signed by all members, got none of "
            f"{', '.join(missing)}; collect them with 'fednode genesis sign'"
        )
    check_genesis(genesis)
    sealed = read_public_file(config.node.network_key_file, "the sealed network key")
    state = known_state(config.node.folder, genesis.contract)
    member, key = find_place(keys, state, sealed, genesis.contract)
    contract = contract_in_force(genesis.contract, state)
    refuse_differences(local_differences(config, member, contract))
    others = [each.signing for each in keys if each is not key]
    return Membership(
        member=member,
        key=key.signing,
        genesis=genesis,
        network_key=open_for_any(sealed, keys, genesis.contract),
        next_key=others[0] if others else None,
        key_file=config.node.key_file,
    )


def own_keys(config: NodeConfig) -> tuple[MemberKey, ...]:
    """Return the member's key, and after it the next one if one was made.

    Raises:
        ConfigError: If a file is missing or is no key.
    """
    key_file = config.node.key_file
    key, following = load_key_file(key_file), load_next_key(key_file)
    return (key,) if following is None else (key, following)


def settle_keys(config: NodeConfig, state: State) -> None:
    """Put the member's next key in the place of the old one, if it is in force now (rule P81).

    Args:
        config: The member's settings.
        state: As far as this node's ledger goes.

    Raises:
        ConfigError: If a file cannot be read or renamed.
    """
    following = load_next_key(config.node.key_file)
    if following is not None and following.public_key in state.membership.public_keys:
        promote_next_key(config.node.key_file)


def known_state(folder: Path, contract: Contract) -> State:
    """Return the state of the ledger in a node's folder, the first one if there is no ledger.

    Raises:
        StorageError: If the ledger is damaged.
    """
    if not (folder / DATABASE_NAME).exists():
        return initial_state(contract)
    with Ledger.open(folder, read_only=True) as ledger:
        return ledger.state


def find_place(
    keys: Sequence[MemberKey], state: State, sealed: bytes, contract: Contract
) -> tuple[int, MemberKey]:
    """Return the number of the member that has one of some keys, and which of them is its own now.

    Whoever is to join is not in the ledger that it has: then the number is the one for which the
    network key was sealed, which the chain confirms as soon as it is here (rule P81).

    Args:
        keys: The member's keys, the older one first.
        state: As far as this node's ledger goes.
        sealed: The file of the network key.
        contract: The founders' contract, for the error.

    Raises:
        ConfigError: If no member has such a key.
    """
    in_force = state.membership.public_keys
    for key in reversed(keys):
        if key.public_key in in_force:
            return in_force.index(key.public_key), key
    retired = {each.public_key: each.member for each in state.membership.retired}
    for key in keys:
        known = retired.get(key.public_key)
        number = number_in_file(sealed, key.public_key) if known is None else known
        if number is not None:
            return number, key
    return number_of(contract, keys[0].public_key), keys[0]


def open_for_any(sealed: bytes, keys: Sequence[MemberKey], contract: Contract) -> NetworkKey:
    """Return the network key, which one of the member's keys opens.

    Raises:
        ConfigError: If none does.
    """
    for key in keys[:-1]:
        with suppress(ConfigError):
            return NetworkKey(key=open_network_key(sealed, key, contract))
    return NetworkKey(key=open_network_key(sealed, keys[-1], contract))


def load_network_key(config: NodeConfig, key: MemberKey, contract: Contract) -> NetworkKey:
    """Return the network key from its sealed file.

    Raises:
        ConfigError: If the file cannot be read, or is not for this member of this contract.
    """
    sealed = read_public_file(config.node.network_key_file, "the sealed network key")
    return NetworkKey(key=open_network_key(sealed, key, contract))


def local_differences(
    config: NodeConfig, number: int, contract: Contract
) -> tuple[Difference, ...]:
    """Return where the member's own settings, code and data differ from the contract.

    `left` is the member's own value, `right` the contract's. What the contract says of the member
    is compared if it is in it with a role.

    Args:
        config: The member's settings.
        number: The member's number.
        contract: The founders' contract, or the one in force.

    Raises:
        DataError: If the member's rows cannot be read.
        SettingsError: If the contract's learner is not here, or this is another one (rule P1).
    """
    agreed = contract_terms(contract)
    own: dict[str, Term] = {f"members.{number}.name": config.node.name}
    if is_built_in(contract.model.architecture):
        own["training.learner_hash"] = learner_hash(contract.model.architecture).hex()
    elif config.data is not None:
        check_code(contract.model.architecture, own_code(config, contract))
    unused: tuple[Difference, ...] = ()
    if config.data is None:
        own[f"members.{number}.samples"] = 0
    else:
        rows = load_site(config.data.spec()).training
        preprocess(rows, contract.data.features)  # refuses rows that lack a feature
        own[f"members.{number}.samples"] = len(rows)
        is_known = number < len(contract.members)
        if config.data.hold_out_fraction or (is_known and contract.members[number].has_hold_out):
            own["feedback.hold_out"] = millionths_held(config.data)
        own["data.label"] = config.data.label
        own["data.positive"] = config.data.positive
        known = {feature.name for feature in contract.data.features}
        unused = tuple(
            Difference(name="data.features", left=name, right=None)
            for name in rows.names
            if name not in known
        )
    own.update(config.terms)
    is_in_role = number < len(contract.members) and contract.members[number].roles
    if not is_in_role:
        # To be admitted, or gone: the chain holds nothing that these settings could differ from.
        own = {name: own[name] for name in own if not name.startswith(f"members.{number}.")}
    relevant = {name: agreed[name] for name in own if name in agreed}
    return (*differences(own, relevant), *unused)


def own_code(config: NodeConfig, contract: Contract) -> OwnCode:
    """Return where the contract's own learner is on this computer, and its hash (rule P1)."""
    name = file_name_of(contract.model.architecture)
    file = None if name is None else config.node.genesis_file.parent / name
    return OwnCode(
        file=config.node.learner_file or file, sha256=contract.training.learner_hash.hex()
    )


def refuse_differences(found: tuple[Difference, ...]) -> None:
    """Refuse to go on when own settings differ from the contract.

    Raises:
        ConfigError: If there is a difference; the text lists all of them.
    """
    if not found:
        return
    lines = [
        f"  {each.name}: here {_shown(each.left)}, in the contract {_shown(each.right)}"
        for each in found
    ]
    raise ConfigError(
        "expected the settings of this node to be those of the contract, got other ones; correct "
        "the configuration, or agree on a new contract:\n" + "\n".join(lines)
    )


def _shown(term: Term | None) -> str:
    return "nothing" if term is None else repr(term)

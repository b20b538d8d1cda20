"""All that a node starts with: genesis, keys and number, checked against its own settings (P1)."""

from dataclasses import dataclass, field

from fednode.config import NodeConfig
from fednode.errors import ConfigError
from fednode.founding.consent import missing_signatures, number_of
from fednode.founding.contracts import check_rule
from fednode.founding.genesis_files import load_genesis, read_public_file
from fednode.founding.keys import MemberKey, load_key_file
from fednode.founding.members import millionths_held
from fednode.founding.network_key import open_network_key
from fednode.founding.terms import Difference, Term, contract_terms, differences
from fednode.learning.preprocessing import preprocess
from fednode.learning.registry import learner_hash
from fednode.learning.site_data import load_site
from fednode.wire.envelope import NetworkKey
from ledger.genesis import Contract, Genesis
from ledger.genesis_rules import check_genesis
from ledger.keys import SecretKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A member's place in a network.

    Attributes:
        member: This member's number.
        key: Its secret key.
        genesis: The contract, signed by all.
        network_key: Seals what the broker sees (rule P90).
    """

    member: int
    key: SecretKey = field(repr=False)
    genesis: Genesis
    network_key: NetworkKey


def open_membership(config: NodeConfig) -> Membership:
    """Load and check everything that a node starts with.

    Raises:
        AggregationError: If this version of fednode lacks the contract's rule.
        ConfigError: If a file is missing or wrong, or local settings differ from the contract; the
            text then lists every difference.
        ContractError: If the contract cannot hold or a member has not signed it.
        DataError: If the member's rows cannot be read.
        SettingsError: If the contract's learner is not installed.
    """
    key = load_key_file(config.node.key_file)
    genesis = load_genesis(config.node.genesis_file)
    member = number_of(genesis.contract, key.public_key)
    missing = missing_signatures(genesis)
    if missing:
        raise ConfigError(
            f"expected {config.node.genesis_file} signed by all members, got none of "
            f"{', '.join(missing)}; collect them with 'fednode genesis sign'"
        )
    check_genesis(genesis)
    check_rule(genesis.contract)
    refuse_differences(local_differences(config, key, genesis.contract))
    return Membership(
        member=member,
        key=key.signing,
        genesis=genesis,
        network_key=load_network_key(config, key, genesis.contract),
    )


def load_network_key(config: NodeConfig, key: MemberKey, contract: Contract) -> NetworkKey:
    """Return the network key from its sealed file.

    Raises:
        ConfigError: If the file cannot be read, or is not for this member of this contract.
    """
    sealed = read_public_file(config.node.network_key_file, "the sealed network key")
    return NetworkKey(key=open_network_key(sealed, key, contract))


def local_differences(
    config: NodeConfig, key: MemberKey, contract: Contract
) -> tuple[Difference, ...]:
    """Return where the member's own settings, code and data differ from the contract.

    `left` is the member's own value, `right` the contract's.

    Raises:
        ConfigError: If the key is no member's.
        DataError: If the member's rows cannot be read.
        SettingsError: If the contract's learner is not installed.
    """
    number = number_of(contract, key.public_key)
    agreed = contract_terms(contract)
    own: dict[str, Term] = {
        f"members.{number}.name": config.node.name,
        "training.learner_hash": learner_hash(contract.model.architecture).hex(),
    }
    unused: tuple[Difference, ...] = ()
    if config.data is None:
        own[f"members.{number}.samples"] = 0
    else:
        rows = load_site(config.data.spec()).training
        preprocess(rows, contract.data.features)  # refuses rows that lack a feature
        own[f"members.{number}.samples"] = len(rows)
        if contract.members[number].has_hold_out or config.data.hold_out_fraction:
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
    relevant = {name: agreed[name] for name in own if name in agreed}
    return (*differences(own, relevant), *unused)


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

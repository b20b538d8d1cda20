"""What a member's folder knows about members and pending operations, also while its node runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.standing import operation_text
from fednode.changes.kept import load_operations
from fednode.changes.mailbox import Mailbox
from fednode.config import NodeConfig, load_config
from fednode.errors import ConfigError
from fednode.folders import open_ledger
from fednode.founding.genesis_files import read_public_file
from fednode.founding.keys import MemberKey
from fednode.founding.membership import find_place, own_keys
from ledger.changes import next_place, operation_problem
from ledger.genesis import Contract
from ledger.membership import MemberRecord, contract_in_force
from ledger.operations import Agreed, Operation, operation_id
from ledger.powers import is_quorum
from ledger.proposable import needed_approvals
from ledger.state import State

ID_HEX: Final = 64
SHOWN_HEX: Final = 16
"""Digits of an operation's id that people see and type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A member's view of its network.

    Attributes:
        config: Its settings.
        founders: The founders' contract.
        contract: The contract in force.
        state: The state after the last block of its ledger.
        operations: Pending operations with the approvals known here.
        member: Its number.
        key: Its key in force.
    """

    config: NodeConfig
    founders: Contract
    contract: Contract
    state: State
    operations: tuple[Agreed, ...]
    member: int
    key: MemberKey

    @property
    def own(self) -> MemberRecord | None:
        """What the chain knows of this member; None while it does not know it."""
        members = self.state.membership.members
        return members[self.member] if self.member < len(members) else None

    @property
    def mailbox(self) -> Mailbox:
        """Where orders to the member's node are left."""
        return Mailbox(self.config.node.folder)

    def id_of(self, operation: Operation) -> bytes:
        """Return the id by which members approve an operation."""
        return operation_id(operation, self.state.chain_id)

    def problem(self, operation: Operation) -> str | None:
        """Return why no block may carry an operation now."""
        return operation_problem(
            next_place(self.contract, self.state, self.state.banned), operation
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationView:
    """A pending operation as people see it; `missing` names validators that have not approved."""

    operation_id: str
    kind: str
    text: str
    expiry: int
    approved_by: tuple[str, ...]
    missing: tuple[str, ...]
    power: int
    power_total: int
    is_agreed: bool


def look(config_path: Path) -> Outlook:
    """Return what a member's folder knows.

    Raises:
        ConfigError: If there is no configuration, ledger or key, or the key is no member's.
        StorageError: If the ledger is damaged.
    """
    config = load_config(config_path)
    with open_ledger(config_path) as ledger:
        state, founders = ledger.state, ledger.contract
    keys = own_keys(config)
    sealed = read_public_file(config.node.network_key_file, "the sealed network key")
    member, key = find_place(keys, state, sealed, founders)
    return Outlook(
        config=config,
        founders=founders,
        contract=contract_in_force(founders, state),
        state=state,
        operations=load_operations(config.node.folder),
        member=member,
        key=key,
    )


def operation_view(outlook: Outlook, agreed: Agreed) -> OperationView:
    """Return what people want to know of a pending operation."""
    state, members = outlook.state, outlook.state.membership.members
    signers = [each.signer for each in agreed.approvals]
    power = sum(state.validators.power_of(each) for each in signers)
    done = needed_approvals(state, agreed.operation, agreed.approvals) is not None
    waiting = () if done else [each for each in state.validators.members if each not in signers]
    return OperationView(
        operation_id=outlook.id_of(agreed.operation).hex(),
        kind=agreed.operation.KIND.name,
        text=operation_text(agreed.operation, outlook.contract),
        expiry=agreed.operation.expiry,
        approved_by=tuple(members[each].member.name for each in signers),
        missing=tuple(members[each].member.name for each in waiting),
        power=power,
        power_total=state.validators.total,
        is_agreed=done,
    )


def quorum_text(view: OperationView) -> str:
    """Return how far the approvals of an operation are, in words."""
    if view.is_agreed:
        return "approved by enough: the next block carries it"
    needed = next(w for w in range(view.power_total + 1) if is_quorum(w, view.power_total))
    return f"power {view.power} of {needed} needed, without {', '.join(view.missing)}"


def find_operation(outlook: Outlook, text: str) -> Agreed:
    """Return the pending operation whose id begins with some digits.

    Raises:
        ConfigError: If there is none, or more than one.
    """
    wanted = text.lower()
    found = [
        each
        for each in outlook.operations
        if outlook.id_of(each.operation).hex().startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        known = [outlook.id_of(each.operation).hex()[:SHOWN_HEX] for each in outlook.operations]
        raise ConfigError(
            f"expected the id of a pending operation, got {text!r}; known here: "
            f"{', '.join(known) or 'none'}; see 'fednode member list'"
        )
    raise ConfigError(f"expected one operation, got {len(found)} whose ids begin with {text!r}")


def find_member(outlook: Outlook, text: str) -> int:
    """Return the number of the member that somebody names, by name or by number.

    Raises:
        ConfigError: If there is no such member now.
    """
    members = outlook.state.membership.members
    # A name may have been used before, by who is gone: the newest holder is meant.
    named = [number for number, each in enumerate(members) if each.member.name == text]
    if named:
        return named[-1]
    if text.isdecimal() and int(text) < len(members):
        return int(text)
    names = ", ".join(f"{number} {each.member.name}" for number, each in enumerate(members))
    raise ConfigError(f"expected a member's name or number, got {text!r}; members: {names}")

"""Operations that a member's people ask for, checked before its node is told (rule P81)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fednode.changes.join_card import load_join_card
from fednode.changes.outlook import Outlook, find_member
from fednode.errors import ConfigError
from fednode.founding.keys import MemberKey
from ledger.genesis import RuleParameter
from ledger.membership import MemberRecord, Standing
from ledger.operations import (
    EXPIRY_AHEAD_MAX,
    NO_SIGNATURE,
    ChangeTerms,
    Evict,
    Join,
    Leave,
    Rotate,
    Terms,
    contract_hash,
    terms_of,
    with_possession,
)

OperationT = TypeVar("OperationT", Join, Leave, Evict, Rotate, ChangeTerms)


def join_operation(outlook: Outlook, card: Path) -> Join:
    """Return the JOIN in a newcomer's card.

    Raises:
        ConfigError: If the card is wrong or the newcomer cannot be taken in.
    """
    return _checked(outlook, load_join_card(card, outlook.state.chain_id).operation())


def leave_operation(outlook: Outlook, heights: int) -> Leave:
    """Return the LEAVE of the own member.

    Raises:
        ConfigError: If it cannot leave.
    """
    admitted = _own(outlook).admitted
    expiry = _expiry(outlook, heights)
    return _checked(outlook, Leave(member=outlook.member, admitted=admitted, expiry=expiry))


def evict_operation(outlook: Outlook, who: str, heights: int) -> Evict:
    """Return the EVICT of a member, or of one that is still to be admitted.

    Raises:
        ConfigError: If there is no such member or it cannot be evicted.
    """
    number = find_member(outlook, who)
    admitted = outlook.state.membership.members[number].admitted
    expiry = _expiry(outlook, heights)
    return _checked(outlook, Evict(member=number, admitted=admitted, expiry=expiry))


def rotate_operation(outlook: Outlook, key: MemberKey, heights: int) -> Rotate:
    """Return the ROTATE of the own member to another key.

    Raises:
        ConfigError: If the key cannot be rotated.
    """
    rotate = Rotate(
        member=outlook.member,
        admitted=_own(outlook).admitted,
        public_key=key.public_key,
        expiry=_expiry(outlook, heights),
        possession=NO_SIGNATURE,
    )
    return _checked(outlook, with_possession(rotate, key.signing, outlook.state.chain_id))


def change_operation(
    outlook: Outlook, values: Mapping[str, int], rule: str | None, heights: int
) -> ChangeTerms:
    """Return the operation that changes terms of the contract in force.

    Args:
        outlook: The member's view.
        values: New values by the name of the term: fields of `Terms`, or of its timeouts.
        rule: Name of another aggregation rule; None leaves it.
        heights: Heights for which it may be approved.

    Raises:
        ConfigError: If nothing changes or the terms cannot hold.
    """
    before = terms_of(outlook.contract)
    own = {name: value for name, value in values.items() if not name.endswith("_ms")}
    waits = {name: value for name, value in values.items() if name.endswith("_ms")}
    after: Terms = replace(before, **own, timeouts=replace(before.timeouts, **waits))  # type: ignore[arg-type]  # integers by name
    aggregation = after.aggregation
    if rule is not None:
        aggregation = replace(aggregation, rule_id=rule)
    if "trainer_budget" in own:
        # The rule is told how many trainers may lie, as when the contract was made.
        parameters = (RuleParameter(name="f", value=own["trainer_budget"]),)
        others = tuple(each for each in aggregation.parameters if each.name != "f")
        aggregation = replace(aggregation, parameters=(*parameters, *others))
    after = replace(after, aggregation=aggregation)
    if after == before:
        raise ConfigError("expected at least one term with another value, got none")
    change = ChangeTerms(
        contract_hash=contract_hash(outlook.contract),
        terms=after,
        expiry=_expiry(outlook, heights),
    )
    return _checked(outlook, change)


def check_able(outlook: Outlook) -> None:
    """Check that the member takes part, so that its word counts.

    Raises:
        ConfigError: If it does not.
    """
    own = outlook.own
    if own is None or own.standing is not Standing.ACTIVE:
        where = "not known to the chain" if own is None else own.standing.name.lower()
        raise ConfigError(
            f"expected a member that takes part, got {outlook.config.node.name!r}, which is {where}"
        )


def _own(outlook: Outlook) -> MemberRecord:
    check_able(outlook)
    own = outlook.own
    assert own is not None, "checked above"
    return own


def _expiry(outlook: Outlook, heights: int) -> int:
    if not 1 <= heights <= EXPIRY_AHEAD_MAX:
        raise ConfigError(f"expected 1 to {EXPIRY_AHEAD_MAX} heights, got {heights}")
    return outlook.state.height + heights


def _checked(outlook: Outlook, operation: OperationT) -> OperationT:
    check_able(outlook)
    problem = outlook.problem(operation)
    if problem is not None:
        raise ConfigError(f"this cannot be done: {problem}")
    return operation

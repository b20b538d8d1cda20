"""Members and operations as tables and as plain data."""

from dataclasses import asdict
from typing import Final

from fednode.changes.outlook import SHOWN_HEX, Outlook, operation_view, quorum_text
from fednode.changes.standing import standing_text
from fednode.founding.terms import contract_terms, differences, role_names
from ledger.membership import Standing
from ledger.operations import Agreed, ChangeTerms, Join, Rotate, with_terms

Pairs = list[tuple[str, object]]
MEMBER_COLUMNS: Final = (
    "", "member", "standing", "roles", "samples", "key", "admitted", "power",
)  # fmt: skip
OPERATION_COLUMNS: Final = ("pending operation", "", "until height", "approvals")


def members_data(outlook: Outlook) -> dict[str, object]:
    """Return members and pending operations as plain data."""
    state = outlook.state
    return {
        "height": state.height,
        "own_member": outlook.member,
        "members": [
            {
                "member": number,
                "name": each.member.name,
                "standing": standing_text(state, number),
                "roles": role_names(each.member.roles),
                "samples": each.member.samples,
                "public_key": each.member.public_key.hex(),
                "admitted": each.admitted,
                "expiry": each.expiry,
                "power": state.validators.power_of(number),
            }
            for number, each in enumerate(state.membership.members)
        ],
        "operations": [operation_data(outlook, each) for each in outlook.operations],
        "orders_waiting": len(outlook.mailbox.waiting()),
    }


def summary_pairs(outlook: Outlook) -> Pairs:
    """Return where the member's view stands, as names and values."""
    return [
        ("network", outlook.contract.name),
        ("height", outlook.state.height),
        ("this member", f"{outlook.member} {outlook.config.node.name}"),
        ("orders", _orders_text(len(outlook.mailbox.waiting()))),
    ]


def member_rows(outlook: Outlook) -> list[tuple[object, ...]]:
    """Return a row per member number: `MEMBER_COLUMNS`."""
    state = outlook.state
    return [
        (
            number,
            each.member.name,
            standing_text(state, number),
            role_names(each.member.roles),
            each.member.samples,
            each.member.public_key.hex()[:SHOWN_HEX],
            each.admitted if each.standing is not Standing.PENDING else "-",
            state.validators.power_of(number) or "-",
        )
        for number, each in enumerate(state.membership.members)
    ]


def operation_rows(outlook: Outlook) -> list[tuple[object, ...]]:
    """Return a row per pending operation: `OPERATION_COLUMNS`."""
    views = [operation_view(outlook, each) for each in outlook.operations]
    return [
        (each.operation_id[:SHOWN_HEX], each.text, each.expiry, quorum_text(each)) for each in views
    ]


def operation_data(outlook: Outlook, agreed: Agreed) -> dict[str, object]:
    """Return a pending operation as plain data."""
    return {**asdict(operation_view(outlook, agreed)), "details": dict(_details(outlook, agreed))}


def operation_pairs(outlook: Outlook, agreed: Agreed) -> Pairs:
    """Return a pending operation as names and values."""
    view = operation_view(outlook, agreed)
    return [
        ("operation", view.text),
        ("id", view.operation_id),
        ("valid until", f"height {view.expiry}, now {outlook.state.height}"),
        *_details(outlook, agreed),
        ("approved by", ", ".join(view.approved_by) or "nobody"),
        ("state", quorum_text(view)),
    ]


def _details(outlook: Outlook, agreed: Agreed) -> Pairs:
    operation = agreed.operation
    match operation:
        case Join():
            return [
                ("roles", role_names(operation.roles)),
                ("samples", operation.samples),
                ("public key", operation.public_key.hex()),
            ]
        case Rotate():
            return [("public key", operation.public_key.hex())]
        case ChangeTerms():
            changed = with_terms(outlook.contract, operation.terms)
            found = differences(contract_terms(outlook.contract), contract_terms(changed))
            return [(each.name, f"{each.left} -> {each.right}") for each in found]
        case _:
            return []


def _orders_text(count: int) -> str:
    return f"{count} that the node has not taken" if count else "none waiting"

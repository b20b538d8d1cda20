"""Where this node's member number stands, and what people are told when that changes (rule P81)."""

from consensus.desk import Desk
from ledger.genesis import Contract
from ledger.membership import Standing
from ledger.operations import ChangeTerms, Evict, Join, Leave, Operation, Rotate
from ledger.records import Block

FOLLOWS = "this node signs nothing and goes on answering who asks it for blocks"


def show(block: Block, desk: Desk) -> None:
    """Tell a person what the operations and READYs of a decided block changed."""
    for each in block.operations:
        text = operation_text(each.operation, desk.contract)
        desk.notice(f"height={block.header.height}: {text} (rule P81)", is_error=False)
    for ready in block.readies:
        name = desk.contract.members[ready.signer].name
        text = f"{name} is a member from height {block.header.height + 1} on"
        desk.notice(
            f"height={block.header.height} member={ready.signer}: {text} (rule P81)", is_error=False
        )
    if block.operations or block.readies:
        show_own(desk)


def show_own(desk: Desk) -> None:
    """Tell a person why this node may not sign at all, if that is so."""
    reason = silence(desk)
    if reason is not None and desk.signer is not None:
        is_error = desk.standing not in (Standing.PENDING, None)
        text = f"height={desk.state.height} member={desk.member}: {reason}"
        desk.notice(f"{text} (rule P81)", is_error=is_error)


def silence(desk: Desk) -> str | None:
    """Return why the member may not sign at the height in work; None if it may."""
    match desk.standing:
        case None:
            return "this node's key is not known here yet; it asks for blocks until it is"
        case Standing.PENDING:
            return "this node is to be admitted: it says READY once it has the ledger"
        case Standing.LAPSED:
            return "this member was not admitted in time: it needs a new key and another JOIN"
        case Standing.GONE:
            return f"this member left or was evicted: {FOLLOWS}"
        case Standing.ACTIVE:
            if desk.has_key_in_force:
                return None
            return (
                "this member's key was replaced by another one, which this node does not have: "
                f"{FOLLOWS}; put the new key where node.key_file says and start it again"
            )


def operation_text(operation: Operation, contract: Contract) -> str:
    """Return what an operation does, for people.

    Args:
        operation: What members approve, or approved.
        contract: Names the members.
    """
    match operation:
        case Join():
            return f"JOIN: {operation.name} may join, until height {operation.expiry}"
        case Leave():
            return f"LEAVE: {_name(operation.member, contract)} leaves"
        case Evict():
            return f"EVICT: {_name(operation.member, contract)} is evicted"
        case Rotate():
            return f"ROTATE: {_name(operation.member, contract)} gets another key"
        case ChangeTerms():
            return "TERMS: the terms of the contract change"


def _name(number: int, contract: Contract) -> str:
    known = number < len(contract.members)
    return f"member {number} ({contract.members[number].name})" if known else f"member {number}"

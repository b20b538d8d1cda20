"""`fednode member`: who takes part, and the operations by which that changes."""

from typing import Annotated

import typer

from fednode.cli import member_change, member_join
from fednode.cli.member_options import (
    HEIGHTS,
    NODE_TOML,
    WAIT_S,
    Config,
    Heights,
    OperationId,
    Wait,
)
from fednode.cli.output import JsonOption, print_json, print_pairs, print_table

app = typer.Typer(
    name="member", no_args_is_help=True, help="See and change who takes part, and on which terms."
)


@app.command(name="list")
def list_members(*, config: Config = NODE_TOML, as_json: JsonOption = False) -> None:
    """List the members and the operations that wait for approvals; also while the node runs.

    Example: fednode member list --config north/node.toml
    """
    from fednode.changes import report
    from fednode.changes.outlook import look

    outlook = look(config)
    if as_json:
        print_json(report.members_data(outlook))
        return
    print_pairs(report.summary_pairs(outlook))
    print()
    print_table(report.MEMBER_COLUMNS, report.member_rows(outlook))
    if outlook.operations:
        print()
        print_table(report.OPERATION_COLUMNS, report.operation_rows(outlook))


@app.command()
def show(
    operation: OperationId, *, config: Config = NODE_TOML, as_json: JsonOption = False
) -> None:
    """Show a pending operation: what it changes, who approved it, who is missing.

    Example: fednode member show 3f2a9c11 --config north/node.toml
    """
    from fednode.changes.outlook import find_operation, look
    from fednode.changes.report import operation_data, operation_pairs

    outlook = look(config)
    agreed = find_operation(outlook, operation)
    if as_json:
        print_json(operation_data(outlook, agreed))
    else:
        print_pairs(operation_pairs(outlook, agreed))


@app.command()
def approve(operation: OperationId, *, config: Config = NODE_TOML, wait: Wait = WAIT_S) -> None:
    """Approve an operation that another member brought up; read it first with 'member show'.

    A whole id is taken also before this node has heard of the operation.

    Example: fednode member approve 3f2a9c11 --config north/node.toml
    """
    from fednode.changes.mailbox import Approve
    from fednode.changes.outlook import ID_HEX, find_operation, look
    from fednode.changes.report import operation_pairs
    from fednode.changes.wishes import check_able
    from fednode.cli.member_orders import leave_order

    outlook = look(config)
    check_able(outlook)
    known = {outlook.id_of(each.operation).hex() for each in outlook.operations}
    if len(operation) == ID_HEX and operation.lower() not in known:
        wanted = _digest(operation)
        print(f"operation  {wanted.hex()} is not known here yet; approved once it is")
    else:
        agreed = find_operation(outlook, operation)
        wanted = outlook.id_of(agreed.operation)
        print_pairs(operation_pairs(outlook, agreed))
    leave_order(outlook, Approve(operation_id=wanted), wait_s=wait)


@app.command()
def leave(*, config: Config = NODE_TOML, heights: Heights = HEIGHTS, wait: Wait = WAIT_S) -> None:
    """Take the own member out; nobody else needs to approve it.

    Example: fednode member leave --config north/node.toml
    """
    from fednode.changes.outlook import look
    from fednode.changes.wishes import leave_operation
    from fednode.cli.member_orders import offer

    outlook = look(config)
    offer(outlook, leave_operation(outlook, heights), wait_s=wait)


@app.command()
def evict(
    who: Annotated[str, typer.Argument(help="The member's name or number.", metavar="MEMBER")],
    *,
    config: Config = NODE_TOML,
    heights: Heights = HEIGHTS,
    wait: Wait = WAIT_S,
) -> None:
    """Ask the others to send a member away, or to take back a JOIN that is pending.

    Example: fednode member evict south --config north/node.toml
    """
    from fednode.changes.outlook import look
    from fednode.changes.wishes import evict_operation
    from fednode.cli.member_orders import offer

    outlook = look(config)
    offer(outlook, evict_operation(outlook, who, heights), wait_s=wait)


@app.command()
def rotate(*, config: Config = NODE_TOML, heights: Heights = HEIGHTS, wait: Wait = WAIT_S) -> None:
    """Make a new key for the own member and ask the others to put it in the old one's place.

    The node signs with it from the height at which it is in force; it need not be restarted.

    Example: fednode member rotate --config north/node.toml
    """
    from secrets import token_bytes

    from fednode.changes.next_key import make_next_key, next_key_path
    from fednode.changes.outlook import look
    from fednode.changes.seals import seal_for_key
    from fednode.changes.wishes import check_able, rotate_operation
    from fednode.cli.member_orders import offer
    from fednode.founding.membership import settle_keys
    from ledger.keys import SEED_BYTES

    outlook = look(config)
    check_able(outlook)
    settle_keys(outlook.config, outlook.state)
    key_file = outlook.config.node.key_file
    key = make_next_key(key_file, token_bytes(SEED_BYTES))
    seal_for_key(outlook, key)
    print_pairs([("new key", f"{next_key_path(key_file)} (keep a copy in a safe, now)")])
    offer(outlook, rotate_operation(outlook, key, heights), wait_s=wait)


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise typer.BadParameter(f"expected hexadecimal digits, got {text!r}") from None


app.command()(member_join.card)
app.command()(member_join.join)
app.command()(member_join.invite)
app.command()(member_change.change)

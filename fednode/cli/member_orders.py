"""Leaving an order to the own node, and telling what becomes of it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fednode.cli.output import print_pairs

if TYPE_CHECKING:
    from fednode.changes.mailbox import Order
    from fednode.changes.outlook import Outlook
    from ledger.operations import Operation

LOOK_S = 0.05


def offer(outlook: "Outlook", operation: "Operation", *, wait_s: float) -> None:
    """Let the own node approve an operation and tell the others."""
    from consensus.standing import operation_text
    from fednode.changes.mailbox import Offer
    from fednode.changes.outlook import SHOWN_HEX
    from ledger.operations import Leave

    short = outlook.id_of(operation).hex()[:SHOWN_HEX]
    print_pairs(
        [
            ("operation", operation_text(operation, outlook.contract)),
            ("id", outlook.id_of(operation).hex()),
            ("valid until", f"height {operation.expiry}"),
        ]
    )
    leave_order(outlook, Offer(operation=operation), wait_s=wait_s)
    if not isinstance(operation, Leave):
        print(f"next: the other members approve it with 'fednode member approve {short}'")


def leave_order(outlook: "Outlook", order: "Order", *, wait_s: float) -> None:
    """Put an order into the mailbox; wait a while for the node to take it."""
    from fednode.clock import SystemClock

    path = outlook.mailbox.put(order, now_ms=SystemClock().now_ms())
    print_pairs([("order", _outcome(outlook, path, wait_s))])


def _outcome(outlook: "Outlook", path: Path, wait_s: float) -> str:
    from fednode.status import STATUS_NAME, is_running, load_status

    status = load_status(outlook.config.node.folder / STATUS_NAME)
    if status is None or not is_running(status):
        return f"waits in {path.parent}: the node is not running; it takes it when it starts"
    until = time.monotonic() + wait_s
    while path.exists() and time.monotonic() < until:
        time.sleep(LOOK_S)
    if path.exists():
        return f"waits in {path.parent}: the node has not taken it within {wait_s:g} s"
    return "taken by the node; 'fednode member list' shows what becomes of it"

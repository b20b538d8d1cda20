"""Operations and READYs in the engine: approved, heard, said again, kept (rules P35, P81)."""

from collections.abc import Iterable
from typing import Final

from consensus.change_inputs import (
    Change,
    KeepOperations,
    OperationApproved,
    OperationOffered,
    OperationReceived,
    ReadyReceived,
)
from consensus.desk import Desk
from consensus.messages import OperationMessage, ReadyMessage
from ledger.inclusion import opens
from ledger.keys import Signed
from ledger.membership import Standing
from ledger.operations import Agreed, Approval, Operation, Ready, operation_id

SAID_AGAIN_MAX: Final = 64
"""Approvals published again in one rebroadcast period; the next ones in the next period."""


class Changes:
    """Brings operations of this member and of others to the proposers.

    Args:
        desk: Shared with the engine.
        kept: The operations that were pending when the node stopped, from `KeepOperations`; what is
            no longer valid is dropped.
    """

    def __init__(self, desk: Desk, kept: Iterable[Agreed]) -> None:
        self._desk = desk
        self._said = 0
        for each in kept:
            for approval in each.approvals:
                if desk.is_signed(approval):
                    desk.pending.hear(desk.contract, desk.state, each.operation, approval)

    def take(self, change: Change) -> None:
        """Take one input about operations."""
        match change:
            case OperationReceived():
                self._hear(change.operation, change.approval.signed)
            case ReadyReceived():
                ready = change.ready.signed
                self._desk.pending.hear_ready(self._desk.state, ready)
            case OperationOffered():
                self._offer(change.operation)
            case OperationApproved():
                self._approve(change.operation_id)

    def opens_height(self) -> bool:
        """Return whether there is a height to work on: not only training makes one (rule P15)."""
        contract, state = self._desk.contract, self._desk.state
        if opens(contract, state):
            return True
        return any(self._desk.pending.proposable(contract, state))

    def begin_height(self, *, is_behind: bool) -> None:
        """Drop what the last block carried or made void; say READY if this member waits for it.

        Args:
            is_behind: Whether blocking power claims to have more blocks than this node.
        """
        desk = self._desk
        if desk.pending.forget(desk.contract, desk.state):
            self._keep()
        if desk.standing is Standing.PENDING and desk.state.height and not is_behind:
            self._say_ready()

    def republish(self, *, is_behind: bool) -> None:
        """Say every pending operation and READY again (rule P35)."""
        messages = [
            OperationMessage(operation=each.operation, approval=approval)
            for each in self._desk.pending.agreed()
            for approval in each.approvals
        ]
        first = self._said if self._said < len(messages) else 0
        self._said = first + SAID_AGAIN_MAX
        for message in messages[first : self._said]:
            self._desk.publish(message)
        for ready in self._desk.pending.readies():
            if ready.signer != self._desk.member:
                self._desk.publish(ReadyMessage(ready=ready))
        if self._desk.standing is Standing.PENDING and self._desk.state.height and not is_behind:
            self._say_ready()

    def _hear(self, operation: Operation, approval: Signed[Approval]) -> None:
        desk = self._desk
        if desk.pending.hear(desk.contract, desk.state, operation, approval):
            self._keep()
            if desk.pending.granted(approval.statement.operation_id):
                self._sign(operation)

    def _offer(self, operation: Operation) -> None:
        desk = self._desk
        problem = desk.pending.problem(desk.contract, desk.state, operation)
        if problem is not None:
            desk.notice(
                f"height={desk.height}: the operation is not offered: {problem} (rule P81)",
                is_error=True,
            )
            return
        self._sign(operation)

    def _approve(self, wanted: bytes) -> None:
        operation = self._desk.pending.find(wanted)
        if operation is not None:
            self._sign(operation)
            return
        self._desk.pending.wish(wanted)
        text = f"operation {wanted.hex()[:16]} is approved as soon as it is heard of"
        self._desk.notice(f"height={self._desk.height}: {text} (rule P81)", is_error=False)

    def _sign(self, operation: Operation) -> None:
        desk = self._desk
        if not desk.may_sign:
            text = "this node may not sign, so it does not approve the operation"
            desk.notice(f"height={desk.height}: {text} (rule P81)", is_error=True)
            return
        approved = Approval(operation_id=operation_id(operation, desk.state.chain_id))
        signed = desk.sign_request(approved)
        assert signed is not None, "who may sign has a key"
        desk.pending.hear(desk.contract, desk.state, operation, signed)
        self._keep()
        desk.publish(OperationMessage(operation=operation, approval=signed))

    def _say_ready(self) -> None:
        state = self._desk.state
        signed = self._desk.sign_request(Ready(height=state.height, block_id=state.tip_id))
        assert signed is not None, "who is to be admitted has a key"
        self._desk.pending.hear_ready(state, signed)
        self._desk.publish(ReadyMessage(ready=signed))

    def _keep(self) -> None:
        self._desk.emit(KeepOperations(operations=self._desk.pending.agreed()))

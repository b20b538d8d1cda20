"""A block under examination, with what several checks need computed once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from ledger.changes import Place, next_place, places
from ledger.errors import SignatureError
from ledger.evidence import banned_after
from ledger.genesis import Contract
from ledger.inclusion import Vouched, empty_view, header_key, qualified, vouched
from ledger.keys import SignatureScheme, Signed, StatementT, verify
from ledger.membership import public_keys_at
from ledger.operations import Agreed
from ledger.records import Block, BlockHeader, UpdateHeader
from ledger.state import State, apply

Problems: TypeAlias = Iterator[tuple[str, str]]
"""(field, text) of each contradiction."""


# Not slotted: what several checks need is computed once per block.
@dataclass(frozen=True, kw_only=True)
class Subject:
    """A block under examination, the state below it and what follows from both."""

    contract: Contract
    state: State
    block: Block
    scheme: SignatureScheme

    @property
    def header(self) -> BlockHeader:
        """The block's header."""
        return self.block.header

    @property
    def height(self) -> int:
        """The height that the block must have."""
        return self.state.height + 1

    @cached_property
    def vouched(self) -> tuple[Vouched, ...]:
        """What blocking power lists in the block's HAVEs."""
        return vouched(self.block.haves, self.state.validators)

    @cached_property
    def keys(self) -> tuple[Vouched, ...]:
        """What the block's headers are listed as, in their order."""
        return tuple(header_key(self.state, each) for each in self.block.updates)

    @cached_property
    def included(self) -> tuple[Signed[UpdateHeader], ...]:
        """The updates that count, if the block is one that aggregates."""
        known = dict(zip(self.keys, self.block.updates, strict=True))
        headers = [known[key] for key in self.vouched if key in known]
        return qualified(self.contract, self.state, headers, self.block.evidence)

    @cached_property
    def after(self) -> State:
        """The state that the block leads to."""
        return apply(self.contract, self.state, self.block)

    @property
    def is_late(self) -> bool:
        """Whether the block was created in a view that gives up on updates (rule P15)."""
        return self.header.created_view >= empty_view(self.contract)

    @cached_property
    def operations(self) -> tuple[tuple[Place, Agreed], ...]:
        """The operations of the block, each with what it meets (rule P81)."""
        banned = banned_after(self.contract, self.state.banned, self.block.evidence)
        place = next_place(self.contract, self.state, banned)
        return tuple(places(place, self.block.operations))

    def signature_problem(
        self, signed: Signed[StatementT], *, member: int, field: str, height: int | None = None
    ) -> Problems:
        """Yield what is wrong with the signature of a statement that `member` must have signed.

        Args:
            signed: The statement.
            member: Who must have signed it.
            field: Where it stands in the block.
            height: The height whose keys count, that of the block unless told.
        """
        membership = self.state.membership
        keys = public_keys_at(membership, self.height if height is None else height)
        if member >= len(keys) or signed.signer != member:
            yield field, f"expected a signature of a member, got member {signed.signer}"
            return
        try:
            verify(signed, keys[member], chain_id=self.state.chain_id, scheme=self.scheme)
        except SignatureError as error:
            yield field, str(error)

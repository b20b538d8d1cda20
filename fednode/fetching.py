"""Bodies and models by what names them: fetched from members, read from the disk, checked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fednode.blockwork import check_update_body, load_model, load_update
from fednode.exchange import BodyExchange, Wanted
from fednode.roster import Roster
from ledger.blobs import Blobs
from ledger.bodies import body_bytes
from ledger.errors import StorageError
from ledger.records import UpdateHeader

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """Gets what a member needs to train, build and check; `member` is its own number."""

    member: int
    roster: Roster
    blobs: Blobs
    exchange: BodyExchange

    def wanted_model(self, model_id: bytes, height: int, holders: Sequence[int]) -> Wanted:
        """Name a model and everybody that may have it, `holders` first."""
        others = range(len(self.roster.contract.members))
        return Wanted(
            body_id=model_id,
            origin=self.member,
            total_bytes=body_bytes(self.roster.contract.model.tensors, is_update=False),
            height=height,
            responders=tuple(dict.fromkeys((*holders, *others))),
            is_pushed=False,
        )

    def wanted_update(
        self, header: UpdateHeader, holders: Sequence[int], *, is_pushed: bool
    ) -> Wanted:
        """Name the body of an update and those that have it: its trainer, then `holders`."""
        contract = self.roster.contract
        return Wanted(
            body_id=header.update_id,
            origin=header.trainer,
            total_bytes=body_bytes(contract.model.tensors, is_update=True),
            # What has not arrived when its height ends may still count late (rule P10).
            height=header.height + contract.max_staleness,
            responders=tuple(dict.fromkeys((header.trainer, *holders))),
            is_pushed=is_pushed,
        )

    async def with_bodies(
        self, wanted: Sequence[Wanted], work: Callable[[], Awaitable[ResultT]]
    ) -> ResultT:
        """Do work that reads bodies; one found damaged on the disk is fetched again (rule P53)."""
        while True:
            for each in wanted:
                await self.exchange.hold(each)
            try:
                return await work()
            except StorageError as error:
                if all(self.blobs.has(each.body_id) for each in wanted):
                    raise
                logger.warning("%s", error)

    async def checked_update(self, header: UpdateHeader) -> bytes | memoryview:
        """Return the body of an announced update once it is durable here and found right (P10)."""
        contract = self.roster.contract
        wanted = self.wanted_update(header, (), is_pushed=True)
        if (arrived := await self.exchange.hold(wanted)) is not None:
            await asyncio.to_thread(check_update_body, contract, header, arrived)
            return arrived
        read = partial(asyncio.to_thread, load_update, contract, header, self.blobs)
        return await self.with_bodies([wanted], read)

    async def load_model(self, model: bytes, height: int) -> NDArray[np.int32]:
        """Return the parameters of a model in quanta, shape (p,), for work at a height."""
        read = partial(asyncio.to_thread, load_model, self.roster.contract, self.blobs, model)
        return await self.with_bodies([self.wanted_model(model, height, ())], read)

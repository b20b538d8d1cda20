"""Signs as much as it can that others might keep: far votes, lists, headers, requests, hints."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from consensus.messages import (
    BlocksRequest,
    BlocksRequestMessage,
    EntryProofMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    ProposalRequest,
    ProposalRequestMessage,
    Status,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.election import schedule
from ledger.records import (
    FRESH,
    Codec,
    HaveEntry,
    HaveList,
    Phase,
    UpdateHeader,
    Vote,
)
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure
from tests.simulation.packets import Packet

if TYPE_CHECKING:
    from tests.simulation.world import World

BURST_EVERY_MS = 100
BURST = 24
FAR_HEIGHTS = 2_000
FAR_VIEWS = 2**20
ID_BYTES = 32
ITEMS_PER_MEMBER = 80


class Flooder(Actor):
    """Each statement has a height or view of its own, so that none contradicts another."""

    name = "flooder"
    heights = 5
    burst: ClassVar[int] = BURST

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._counter = 2**20
        self._due_ms = 0
        self._offer: ProposalMessage | None = None

    @override
    def heard(self, source: int, packet: Packet) -> None:
        if isinstance(packet, ProposalMessage):
            self._offer = packet
        now_ms = self.stage.now_ms()
        if source in self.stage.accomplices or now_ms < self._due_ms:
            return
        self._due_ms = now_ms + BURST_EVERY_MS
        for _ in range(self.burst):
            for message in self.junk():
                self.acts += 1
                self.stage.say(message)

    def junk(self) -> Iterator[Message]:
        """Yield one message of each kind, validly signed and of no use."""
        stage, rng = self.stage, self.stage.rng
        self._counter += 1
        height, count = stage.state.height + 1, self._counter
        for phase in (Phase.PREPARE, Phase.COMMIT):
            for where in (height, height + 1, height + 2 + rng.randrange(FAR_HEIGHTS)):
                yield VoteMessage(vote=stage.raw_sign(self._vote(phase, where)), reason="x" * 200)
        far = height + 1 + count % FAR_HEIGHTS
        entries = tuple(
            HaveEntry(trainer=each, header_digest=rng.randbytes(ID_BYTES))
            for each in range(stage.members)
        )
        yield HaveMessage(have=stage.raw_sign(HaveList(height=far + 1, entries=entries)))
        yield UpdateMessage(update=stage.raw_sign(self._header(far + 1)))
        votes = (stage.raw_sign(self._vote(Phase.COMMIT, height)),)
        yield EntryProofMessage(height=height, view=FAR_VIEWS, votes=votes)
        status = Status(height=2**40 + count, block_id=rng.randbytes(ID_BYTES), sequence=2**40)
        yield StatusMessage(status=stage.raw_sign(status))
        target = rng.randrange(stage.members)
        blocks = BlocksRequest(responder=target, from_height=1, counter=2**40 + count)
        yield BlocksRequestMessage(request=stage.raw_sign(blocks))
        wanted = ProposalRequest(
            responder=target, height=height, block_id=rng.randbytes(ID_BYTES), counter=count
        )
        yield ProposalRequestMessage(request=stage.raw_sign(wanted))
        yield from self._far_offer()

    def _vote(self, phase: Phase, height: int) -> Vote:
        """A vote in a view of its own, far enough ahead that no honest vote can be there."""
        self._counter += 1
        return Vote(
            phase=phase,
            height=height,
            view=64 + self._counter % FAR_VIEWS,
            valid_view=FRESH,
            block_id=self.stage.rng.randbytes(ID_BYTES),
        )

    def _header(self, height: int) -> UpdateHeader:
        stage = self.stage
        return UpdateHeader(
            trainer=stage.number,
            height=height,
            training_round=stage.state.training_round + 1,
            base_model_id=stage.state.model_id,
            update_id=stage.rng.randbytes(ID_BYTES),
            codec=Codec.INT32,
            n_elements=stage.contract.model.n_elements,
            releases=1,
        )

    def _far_offer(self) -> Iterator[Message]:
        """The newest block once more, in a far view that this member leads."""
        offer, stage = self._offer, self.stage
        if offer is None or offer.proposal.statement.height != stage.state.height + 1:
            return
        order = schedule(stage.contract, stage.state)
        if stage.number not in order:
            return
        self._counter += 1
        view = len(order) * (16 + self._counter % FAR_VIEWS) + order.index(stage.number)
        statement = replace(offer.proposal.statement, view=view, valid_view=FRESH)
        yield replace(offer, proposal=stage.raw_sign(statement), certificate=())

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """The most items that an honest engine kept at any time (rule P37)."""
        del liars
        return Measure(
            what="items kept by one engine",
            value=world.counts["items_max"],
            limit=ITEMS_PER_MEMBER * world.settings.members,
        )

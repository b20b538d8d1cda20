"""What stands between an honest member and the network, and what it stands on."""

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from consensus.effects import BuildBlock
from consensus.messages import Message
from ledger.genesis import Contract
from ledger.keys import Signed, StatementT
from ledger.records import Block
from ledger.state import State
from tests.byzantine.actors.measures import Measure, lost_views
from tests.simulation.packets import Packet

if TYPE_CHECKING:
    from tests.simulation.world import World


class Stage(Protocol):
    """What a lying member can do besides what its honest node does; in a simulator or a process.

    Attributes:
        half: The members to whom all liars of a run tell the first of two stories.
        favourite: The honest member to whom some liars speak.
        accomplices: All liars of the run.
    """

    half: frozenset[int]
    favourite: int
    accomplices: tuple[int, ...]

    @property
    def number(self) -> int:
        """The own member number."""

    @property
    def members(self) -> int:
        """How many members there are."""

    @property
    def contract(self) -> Contract:
        """The terms in force."""

    @property
    def state(self) -> State:
        """State after the last block of the honest node below."""

    @property
    def rng(self) -> Random:
        """Whatever is left to chance."""

    def now_ms(self) -> int:
        """The member's own clock."""

    def raw_sign(self, statement: StatementT) -> Signed[StatementT]:
        """Sign without asking the signer."""

    def say(self, message: Message) -> None:
        """Publish to all members."""

    def say_to(self, target: int, message: Message) -> None:
        """Send to one member."""

    def pass_on(self, target: int, packet: Packet) -> None:
        """Send what somebody else said, as it is."""

    def later(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Let `action(*arguments)` happen later."""

    def other_body(self, update_id: bytes) -> bytes:
        """Make another body than the own one of this id, and return its id."""

    def give_body(self, target: int, body_id: bytes) -> None:
        """Send a body to a member that did not ask for it."""

    def make(self, order: BuildBlock, *, is_wrong: bool = False) -> Block:
        """Build a block; with results that nobody else will find if it `is_wrong`."""

    def cut(self, links: Collection[tuple[int, int]], ms_max: int) -> None:
        """Have the broker drop what goes from one member to another, for a time drawn by chance."""

    def clone(self) -> Callable[[int, Packet], None]:
        """Start a second node with the own key; return how it hears a member's packet."""


class Actor:
    """Changes nothing: an honest member. Each actor overrides what it lies about.

    Its hooks are asked in the views in which its trigger fires; in the others the honest node below
    goes on by itself.

    Attributes:
        name: By which a run asks for it.
        heights: How many heights its trial takes.
        samples: How many samples the liars claim in its trial; None for what others have too.
        conditions: What is changed in the settings of its trial, by name of the field.
        acts: How often it did something that no honest member does.
    """

    name: ClassVar[str]
    heights: ClassVar[int] = 8
    samples: ClassVar[int | None] = None
    conditions: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.acts = 0

    def started(self) -> None:
        """The honest node below came up."""

    def publish(self, message: Message) -> None:
        """The honest node below wants to tell everybody."""
        self.stage.say(message)

    def send(self, target: int, message: Message) -> None:
        """The honest node below wants to tell one member."""
        self.stage.say_to(target, message)

    def delay_ms(self) -> int:
        """How much later than the honest node wants a packet goes out."""
        return 0

    def hears(self, source: int, packet: Packet) -> bool:
        """Whether the honest node below hears what arrived."""
        del source, packet
        return True

    def heard(self, source: int, packet: Packet) -> None:
        """The honest node below has heard what arrived."""

    def gives_body(self, target: int, body_id: bytes) -> bool:
        """Whether a member that should get a body from here, or asks for it, gets it."""
        del target, body_id
        return True

    def ordered(self, order: BuildBlock) -> BuildBlock:
        """What the honest node below is to build in place of what the protocol says."""
        return order

    def built(self, order: BuildBlock, block: Block) -> Block:
        """What it proposes in place of the block that it built."""
        del order
        return block

    @classmethod
    def measure(cls, world: "World", liars: Sequence["Actor"]) -> Measure:
        """What the actor achieved in a run, beside the most that the protocol concedes."""
        del liars
        return lost_views(world)

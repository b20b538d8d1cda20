"""What a launcher knows of a running network, from the event lines of its nodes alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

Event: TypeAlias = Mapping[str, Any]
"""One line of a node's `--events`, or what the launcher noticed itself."""
PHASE_NAMES: Final = ("PREPARE", "COMMIT")


@checked(frozen=True, slots=True, kw_only=True)
class Committed:
    """A block as the node that committed it first told it; ids are hexadecimal text."""

    height: int
    view: int
    created_view: int
    proposer: int
    kind: str
    training_round: int
    block_id: str
    model_id: str
    included: tuple[int, ...]
    flagged: tuple[int, ...]
    signers: tuple[int, ...]
    powers: dict[int, int]


_COMMITTED: Final = TypeAdapter(Committed)


@dataclass(slots=True, kw_only=True)
class HeightView:
    """A committed height.

    Attributes:
        block: What was committed.
        seconds: From the height before, or from the start, to the first commit.
        members: Who has committed it so far.
        accuracy: Of the new model on the held-out rows, once that is known.
    """

    block: Committed
    seconds: float
    members: set[int] = field(default_factory=set)
    accuracy: float | None = None


@dataclass(slots=True, kw_only=True)
class MemberView:
    """One member's node."""

    name: str
    is_liar: bool = False
    process_id: int | None = None
    is_running: bool = False
    is_connected: bool = False
    height: int = 0
    training_round: int = 0
    restarts: int = 0
    last_words: str = ""


@dataclass(slots=True, kw_only=True)
class OpenHeight:
    """The attempt that is going on; votes are the members that were heard, by phase."""

    height: int = 1
    view: int = 0
    phase: str = ""
    proposer: int | None = None
    votes: dict[str, set[int]] = field(default_factory=dict)


class NetworkView:
    """Everything shown while a network runs.

    Args:
        names: Names of the members in order.
        liars: Numbers of the members that send something else than their update.
        training_rounds: Number after which the network is done.
        started_s: When the network was started, on the clock of `apply`.
    """

    def __init__(
        self, *, names: Sequence[str], liars: Sequence[int], training_rounds: int, started_s: float
    ) -> None:
        self.members = [
            MemberView(name=name, is_liar=number in liars) for number, name in enumerate(names)
        ]
        self.training_rounds = training_rounds
        self.heights: dict[int, HeightView] = {}
        self.open = OpenHeight()
        self.disagreements: list[str] = []
        self._last_s = started_s

    def apply(self, event: Event, now_s: float) -> None:
        """Take in one event; what is not understood is left out.

        Args:
            event: The event, with its kind under `event` and the number of its member.
            now_s: When it came, in seconds of a monotonic clock.
        """
        number = event.get("member")
        if type(number) is not int or not 0 <= number < len(self.members):
            return
        match event.get("event"):
            case "process":
                self._started(self.members[number], int(event["process_id"]))
            case "connected" | "disconnected":
                self.members[number].is_connected = event["event"] == "connected"
            case "exit":
                self.members[number].is_running = self.members[number].is_connected = False
                self.members[number].last_words = str(event["words"])
            case "phase":
                self._phase(event)
            case "vote":
                self._vote(event)
            case "committed":
                self._committed(number, event, now_s)
            case "resumed":
                self.members[number].height = int(event["height"])
                self.members[number].training_round = int(event["training_round"])
            case _:
                return

    @property
    def running(self) -> list[int]:
        """Numbers of the members whose node runs."""
        return [number for number, each in enumerate(self.members) if each.is_running]

    @property
    def is_done(self) -> bool:
        """Whether every node that runs has committed the last training round."""
        running = self.running
        return bool(running) and all(self.has_finished(number) for number in running)

    def has_finished(self, number: int) -> bool:
        """Return whether a member has committed the last training round."""
        return self.members[number].training_round >= self.training_rounds

    @property
    def powers(self) -> Mapping[int, int]:
        """Voting powers after the last height; empty before the first."""
        return self.heights[max(self.heights)].block.powers if self.heights else {}

    def _started(self, member: MemberView, process_id: int) -> None:
        if member.process_id is not None:
            member.restarts += 1
        member.process_id, member.is_running, member.last_words = process_id, True, ""
        member.is_connected = False

    def _phase(self, event: Event) -> None:
        height, view, proposer = event.get("height"), event.get("view"), event.get("proposer")
        if type(height) is not int or type(view) is not int or not self._enter(height, view):
            return
        self.open.phase = str(event.get("phase", ""))
        self.open.proposer = proposer if type(proposer) is int else None

    def _vote(self, event: Event) -> None:
        height, view, voter = event.get("height"), event.get("view"), event.get("voter")
        if type(height) is not int or type(view) is not int or type(voter) is not int:
            return
        if event.get("block_id") and self._enter(height, view):
            self.open.votes.setdefault(str(event.get("phase")), set()).add(voter)

    def _enter(self, height: int, view: int) -> bool:
        """Return whether this is the newest attempt known; a newer one replaces what was open."""
        position = (height, view)
        here = (self.open.height, self.open.view)
        if position > here and height not in self.heights:
            self.open = OpenHeight(height=height, view=view)
            return True
        return position == here

    def _committed(self, number: int, event: Event, now_s: float) -> None:
        try:
            block = _COMMITTED.validate_python(
                {name: value for name, value in event.items() if name not in ("event", "member")}
            )
        except ValidationError:
            return
        member = self.members[number]
        member.height = max(member.height, block.height)
        member.training_round = max(member.training_round, block.training_round)
        known = self.heights.get(block.height)
        if known is None:
            known = HeightView(block=block, seconds=now_s - self._last_s)
            self.heights[block.height] = known
            self._last_s = now_s
            self._enter(block.height + 1, 0)
        elif known.block.block_id != block.block_id:
            self.disagreements.append(
                f"height {block.height}: {member.name} committed {block.block_id[:8]}, others "
                f"{known.block.block_id[:8]}"
            )
        known.members.add(number)

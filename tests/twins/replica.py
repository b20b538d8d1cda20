"""One replica of a member: a production engine with its signer, or the decision it came to."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

from consensus.effects import CommitBlock, Timer
from consensus.engine import Engine
from consensus.messages import (
    CertificateMessage,
    EntryProofMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.keys import Signed
from ledger.records import QuorumCertificate
from tests.simulation.discipline import Said
from tests.twins.copying import Keys, copied


@dataclass(slots=True, kw_only=True)
class Replica:
    """One engine, or, once it decided, the decision that it hands on.

    Attributes:
        heard: Numbers of the messages that reached it: they are not delivered twice.
        timers: Timers it waits for, and the stages in which they were set.
    """

    number: int
    member: int
    is_honest: bool
    engine: Engine | None
    heard: set[int] = field(default_factory=set)
    timers: dict[Timer, int] = field(default_factory=dict)
    decision: CommitBlock | None = None

    def branch(self) -> "Replica":
        """A copy that goes its own way; one that decided changes no more."""
        if self.engine is None:
            return self
        other = copy(self)
        other.engine = copied(self.engine)
        other.heard, other.timers = set(self.heard), dict(self.timers)
        return other

    def retire(self) -> None:
        """From now on only hand on the decision."""
        self.engine = None
        self.heard.clear()
        self.timers.clear()

    def key(self, keys: Keys) -> int:
        """A number that equal replicas share."""
        if self.decision is not None:
            return keys.number((self.decision.state.tip_id, self.decision.certificate))
        assert self.engine is not None
        timers = tuple(self.timers.items())
        return keys.number((keys.of_engine(self.engine), frozenset(self.heard), timers))


def statements(message: Message) -> Sequence[Signed[Said]]:
    """The signed statements of a message that fill slots."""
    match message:
        case VoteMessage():
            return (message.vote,)
        case ProposalMessage():
            return (message.proposal,)
        case HaveMessage():
            return (message.have,)
        case UpdateMessage():
            return (message.update,)
        case EntryProofMessage():
            return message.votes
        case _:
            return ()


def shown_certificates(message: Message) -> Sequence[QuorumCertificate]:
    """The certificates of a message."""
    match message:
        case ProposalMessage():
            return message.certificate
        case CertificateMessage():
            return (message.certificate,)
        case _:
            return ()

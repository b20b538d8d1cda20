"""What a node tells about itself: log lines for people, events for programs."""

import json
import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from consensus import effects as fx
from consensus import messages as msg
from fednode.events import EventSink, Plain
from fednode.transport.base import ConnectionEvent, Disconnected
from ledger.certificates import signers
from ledger.encoding import encode_as
from ledger.records import Block, Phase, Proposal, QuorumCertificate, Vote, block_id
from ledger.state import State

logger = logging.getLogger(__name__)

CONTRADICTIONS_MAX = 1000
"""Kept per run of the node; one is enough to accuse, the rest is repetition."""
CONTRADICTIONS_BYTES_MAX = 64 * 2**20
"""Kept per folder: two proposals come with their blocks (rule P37)."""


class Journal:
    """Turns effects and arrivals into log lines and events.

    Args:
        events: Takes the events.
        contradictions: File that keeps contradicting statements, one JSON object per line (P34).
    """

    def __init__(self, *, events: EventSink, contradictions: Path) -> None:
        self._events = events
        self._contradictions = contradictions
        self._contradictions_kept = 0

    def note(self, effect: fx.ReportContradiction | fx.Notice | fx.Progress) -> None:
        """Tell what the engine wants people to know."""
        match effect:
            case fx.Progress(height=height, view=view, phase=phase, proposer=proposer):
                self._emit(
                    "phase", {"height": height, "view": view, "phase": phase, "proposer": proposer}
                )
            case fx.Notice(is_error=True, text=text):
                logger.error("%s", text)
                self._emit("error", {"text": text})
            case fx.Notice(text=text):
                logger.info("%s", text)
            case fx.ReportContradiction():
                self._keep(effect)

    def published(self, message: msg.Message) -> None:
        """Tell which own vote or proposal was sent."""
        match message:
            case msg.VoteMessage(vote=vote, reason=reason):
                self._vote(vote.signer, vote.statement, reason)
            case msg.ProposalMessage(proposal=proposal):
                statement = proposal.statement
                where: dict[str, Plain] = {"height": statement.height, "view": statement.view}
                self._emit("proposed", {**where, "block_id": statement.block_id.hex()})
            case _:
                return

    def arrived(self, arrival: fx.Input) -> None:
        """Tell which vote of another member came."""
        if isinstance(arrival, fx.VoteReceived):
            self._vote(arrival.vote.signer, arrival.vote.statement, "")

    def committed(self, block: Block, certificate: QuorumCertificate, state: State) -> None:
        """Tell about a block that is durable now."""
        header = block.header
        signed_by = signers(certificate, state.previous_validators)
        logger.info(
            "height=%d view=%d block=%s committed: %s, model %s, signed by %s",
            header.height,
            certificate.view,
            block_id(header).hex()[:8],
            header.kind.name,
            header.results.model_id.hex()[:8],
            ",".join(str(each) for each in signed_by),
        )
        self._emit(
            "committed",
            {
                "height": header.height,
                "view": certificate.view,
                "created_view": header.created_view,
                "proposer": header.proposer,
                "kind": header.kind.name,
                "training_round": header.training_round,
                "block_id": block_id(header).hex(),
                "model_id": header.results.model_id.hex(),
                "included": [each.trainer for each in header.results.contributions],
                "flagged": [each.trainer for each in header.results.contributions if each.flagged],
                "signers": list(signed_by),
                "powers": {str(each.member): each.power for each in state.validators.validators},
            },
        )

    def connection(self, event: ConnectionEvent) -> None:
        """Tell that a lane came or went."""
        if isinstance(event, Disconnected):
            logger.warning("broker lost (%s): %s", event.lane.value, event.reason)
            self._emit("disconnected", {"lane": event.lane.value, "reason": event.reason})
        else:
            logger.info("broker connected (%s)", event.lane.value)
            self._emit("connected", {"lane": event.lane.value})

    def training(self, height: int, training_round: int) -> None:
        """Tell that the own trainer begins a training round."""
        self._emit("training", {"height": height, "training_round": training_round})

    def pushed(self, height: int, body_id: bytes) -> None:
        """Tell that the last packet of an own update was handed over."""
        self._emit("pushed", {"height": height, "body_id": body_id.hex()})

    def model_held(self, height: int, model_id: bytes) -> None:
        """Tell that the model of a height is here."""
        self._emit("model", {"height": height, "model_id": model_id.hex()})

    def _vote(self, member: int, vote: Vote, reason: str) -> None:
        self._emit(
            "vote",
            {
                "height": vote.height,
                "view": vote.view,
                "phase": Phase(vote.phase).name,
                "voter": member,
                "block_id": vote.block_id.hex(),
                "reason": reason,
            },
        )

    def _keep(self, effect: fx.ReportContradiction) -> None:
        logger.warning("member %d signed two contradicting statements", effect.member)
        both = [(each, encode_as(type(each), each)) for each in (effect.first, effect.second)]
        # Two proposals come with their blocks: those are for the file, an event names them.
        self._emit(
            "contradiction",
            {"accused": effect.member, "statements": [_named(*each) for each in both]},
        )
        if self._contradictions_kept < CONTRADICTIONS_MAX:
            self._contradictions_kept += 1
            statements = [
                {"kind": type(message).__name__, "bytes": data.hex()} for message, data in both
            ]
            self._append(json.dumps({"accused": effect.member, "statements": statements}) + "\n")

    def _append(self, line: str) -> None:
        try:
            with self._contradictions.open("a", encoding="utf-8") as file:
                if file.tell() + len(line) <= CONTRADICTIONS_BYTES_MAX:
                    file.write(line)
        except OSError as error:
            # The ledger keeps what a ban needs (rule P45); voting does not depend on this file.
            logger.warning("cannot keep a contradiction: %s", error)

    def _emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        self._events.emit(kind, fields)


def _named(message: msg.Message, data: bytes) -> dict[str, Plain]:
    """What an event says of a statement: a few hundred bytes, whatever came with it (rule P37)."""
    named: dict[str, Plain] = {
        "kind": type(message).__name__,
        "bytes_hash": sha256(data).hexdigest(),
    }
    statement: Vote | Proposal
    match message:
        case msg.VoteMessage(vote=vote):
            statement = vote.statement
        case msg.ProposalMessage(proposal=proposal):
            statement = proposal.statement
        case _:
            return named
    block = statement.block_id.hex()
    return {**named, "height": statement.height, "view": statement.view, "block_id": block}

"""All actors by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.amnesiac import Amnesiac
from tests.byzantine.actors.censor import Censor
from tests.byzantine.actors.clock_pusher import ClockPusher
from tests.byzantine.actors.echoer import Echoer
from tests.byzantine.actors.equivocator import Equivocator
from tests.byzantine.actors.farmer import Farmer
from tests.byzantine.actors.favourer import Favourer
from tests.byzantine.actors.flooder import Flooder
from tests.byzantine.actors.impersonator import Impersonator
from tests.byzantine.actors.late_revealer import LateRevealer
from tests.byzantine.actors.mumbler import Mumbler
from tests.byzantine.actors.nuller import Nuller
from tests.byzantine.actors.replayer import Replayer
from tests.byzantine.actors.silent import Silent
from tests.byzantine.actors.slanderer import Slanderer
from tests.byzantine.actors.slow import Slow
from tests.byzantine.actors.sybil import Sybil
from tests.byzantine.actors.triggers import Trigger, parse_trigger
from tests.byzantine.actors.twin import Twin
from tests.byzantine.actors.vote_omitter import VoteOmitter
from tests.byzantine.actors.whisperer import Whisperer
from tests.byzantine.actors.withholder import Withholder
from tests.byzantine.actors.wrong_aggregate import WrongAggregate

ACTORS: Final[Mapping[str, type[Actor]]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Amnesiac,
            Censor,
            ClockPusher,
            Farmer,
            Flooder,
            Impersonator,
            LateRevealer,
            Replayer,
            Twin,
            VoteOmitter,
            Echoer,
            Equivocator,
            Favourer,
            Mumbler,
            Nuller,
            Silent,
            Slanderer,
            Slow,
            Sybil,
            Whisperer,
            Withholder,
            WrongAggregate,
        )
    }
)

NAMED: Final = (
    "equivocator",
    "nuller",
    "silent",
    "amnesiac",
    "withholder",
    "censor",
    "late_revealer",
    "replayer",
    "impersonator",
    "vote_omitter",
    "clock_pusher",
    "farmer",
    "flooder",
    "twin",
    "sybil",
)
"""Those whose achievements are measured and bounded."""


def make_actor(part: str, stage: Stage) -> tuple[Actor, Trigger]:
    """Make the actor of `NAME` or `NAME:TRIGGER`, such as `nuller:p=0.5;heights=3-`.

    Raises:
        KeyError: If there is no such actor.
        ValueError: If the trigger has another form.
    """
    name, _, trigger = part.partition(":")
    return ACTORS[name](stage), parse_trigger(trigger or "always")

"""What keeps each actor from getting further, taken away: then its trial must fail.

Each guard is a context manager that breaks one line of the program and mends it afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from consensus import acts, later
from consensus.effects import SetTimer, TimerKind
from consensus.past import Past
from consensus.votes import Tally
from ledger import inclusion, powers, reputation, validity
from ledger.keys import Signed
from ledger.powers import ValidatorSet
from ledger.records import HaveList
from tests.simulation.mutants import no_evidence, no_lock
from tests.simulation.node import Node
from tests.simulation.patching import attribute_replaced, replaced
from tests.simulation.scheme import StubScheme

FOR_EVER_MS: Final = 10**8


def everybody_needed() -> AbstractContextManager[None]:
    """A quorum is everybody (against the thresholds of `ledger/powers.py`)."""
    return replaced(powers.is_quorum, lambda power, total: power >= total)


def no_timer(kind: TimerKind) -> AbstractContextManager[None]:
    """One kind of wait never ends (against rule P93)."""
    set_timer = Node.set_timer

    def set_timer_without(node: Node, effect: SetTimer) -> None:
        if effect.timer.kind is not kind:
            set_timer(node, effect)

    return attribute_replaced(Node, "set_timer", set_timer_without)


def one_list_vouches() -> AbstractContextManager[None]:
    """One HAVE list is enough for an update (against rule P12)."""

    def vouched(
        haves: Sequence[Signed[HaveList]], _: ValidatorSet
    ) -> tuple[inclusion.Vouched, ...]:
        entries = {entry for have in haves for entry in have.statement.entries}
        return tuple(sorted((each.trainer, each.header_digest) for each in entries))

    return replaced(inclusion.vouched, vouched)


def headers_may_lack() -> AbstractContextManager[None]:
    """A block need not carry every vouched header (against rule P12)."""
    left = tuple(each for each in validity.CHECKS if each.find is not validity._vouched_headers)
    return attribute_replaced(validity, "CHECKS", left)


def nobody_need_agree() -> AbstractContextManager[None]:
    """Operations in a block are not looked at (against rule P81)."""
    left = tuple(each for each in validity.CHECKS if each.rule != "P81")
    return attribute_replaced(validity, "CHECKS", left)


def every_signature_holds() -> AbstractContextManager[None]:
    """Signatures are not looked at (against rule P3)."""
    return attribute_replaced(StubScheme, "is_valid", lambda *_: True)


def any_time() -> AbstractContextManager[None]:
    """The time of a proposal is not looked at (against rule P14)."""
    return attribute_replaced(acts, "clock_window_ms", lambda *_: FOR_EVER_MS)


def one_absence_costs() -> AbstractContextManager[None]:
    """Participation falls with the first absence (against rule P40)."""
    return attribute_replaced(reputation, "ABSENCES_MAX", 0)


def bare_participation() -> AbstractContextManager[None]:
    """Powers are participation: neither half of it for all, nor a cap (against rule P41)."""
    return replaced(reputation.voting_powers, lambda scores, _: tuple(map(int, scores)))


@contextmanager
def unbounded_buffers() -> Iterator[None]:
    """Far votes and inputs of the next height are all kept (against rule P37)."""
    with ExitStack() as stack:
        stack.enter_context(attribute_replaced(Tally, "_make_room", lambda *_: True))
        stack.enter_context(attribute_replaced(later, "NEXT_HEIGHT_INPUTS_PER_MEMBER", FOR_EVER_MS))
        yield


@contextmanager
def endless_answers() -> Iterator[None]:
    """Every old vote is answered with a certificate, as often as it comes (against rule P35)."""
    hear_vote = Past.hear_vote

    def hear(past: Past, vote: Signed[object]) -> None:
        past.begin_period()
        hear_vote(past, vote)  # type: ignore[arg-type]

    with attribute_replaced(Past, "hear_vote", hear):
        yield


GUARDS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "amnesiac": no_lock,
    "censor": headers_may_lack,
    "clock_pusher": any_time,
    "equivocator": no_evidence,
    "farmer": bare_participation,
    "flooder": unbounded_buffers,
    "impersonator": every_signature_holds,
    "late_revealer": lambda: no_timer(TimerKind.COLLECT),
    "nuller": everybody_needed,
    "replayer": endless_answers,
    "silent": lambda: no_timer(TimerKind.PROPOSE),
    "sybil": nobody_need_agree,
    "twin": no_evidence,
    "vote_omitter": one_absence_costs,
    "withholder": one_list_vouches,
}

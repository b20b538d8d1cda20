"""When an actor acts: never, always, with a probability, at heights, in views."""

from dataclasses import dataclass
from typing import TypeAlias

from tests.simulation.chance import make_random

Span: TypeAlias = tuple[int, int | None]
"""First and last number; no last means that there is no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Decides for each height and view alone, so that an actor does not change its mind within.

    Attributes:
        share: In which share of the views it acts.
        heights: At which heights; empty means all.
        views: In which views; empty means all.
    """

    share: float = 1.0
    heights: tuple[Span, ...] = ()
    views: tuple[Span, ...] = ()

    def fires(self, height: int, view: int, *, seed: str) -> bool:
        """Whether the actor acts in a view of a height; `seed` names the run and the member."""
        if not (_is_within(height, self.heights) and _is_within(view, self.views)):
            return False
        if self.share in (0.0, 1.0):
            return self.share == 1.0
        return make_random(f"trigger/{seed}/{height}/{view}").random() < self.share


def parse_trigger(text: str) -> Trigger:
    """Read `always`, `never`, or any of `p=0.3`, `heights=2,5-7,20-`, `views=0` joined by `;`.

    Raises:
        ValueError: If the text has another form.

    Examples:
        >>> parse_trigger("p=0.5;heights=3-").heights
        ((3, None),)
    """
    share = 1.0
    heights: tuple[Span, ...] = ()
    views: tuple[Span, ...] = ()
    for part in text.split(";"):
        name, _, value = part.partition("=")
        match name:
            case "always":
                share = 1.0
            case "never":
                share = 0.0
            case "p":
                share = float(value)
            case "heights":
                heights = _spans(value)
            case "views":
                views = _spans(value)
            case _:
                raise ValueError(f"expected always, never, p=, heights= or views=, got {part!r}")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"expected a probability from 0 to 1, got {share}")
    return Trigger(share=share, heights=heights, views=views)


def _spans(text: str) -> tuple[Span, ...]:
    spans: list[Span] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        end = None if dash and not last else int(last or first)
        spans.append((int(first), end))
    return tuple(spans)


def _is_within(number: int, spans: tuple[Span, ...]) -> bool:
    return not spans or any(
        first <= number and (last is None or number <= last) for first, last in spans
    )

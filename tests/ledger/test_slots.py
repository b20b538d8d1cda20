"""Records with the cheaper constructor behave as frozen dataclasses do."""

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from ledger.slots import slotted


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A record with a default and a check of its own."""

    low: int
    high: int = 9

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if self.low > self.high:
            raise ValueError(f"expected at most {self.high}, got {self.low}")


def test_fields_and_defaults_are_stored() -> None:
    assert (Range(low=1).low, Range(low=1).high) == (1, 9)
    assert Range(low=1, high=2) == replace(Range(low=0, high=2), low=1)
    assert repr(Range(low=1)) == "Range(low=1, high=9)"
    assert hash(Range(low=1)) == hash(Range(low=1))


def test_a_record_stays_frozen_and_checked() -> None:
    made = Range(low=1)

    with pytest.raises(FrozenInstanceError):
        made.low = 2  # type: ignore[misc]  # what is tested
    with pytest.raises(ValueError, match="expected at most 0"):
        Range(low=1, high=0)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="missing 1 required"):
        Range()  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        Range(low=1, middle=2)  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError, match="positional"):
        Range(1)  # type: ignore[call-arg]  # what is tested


def test_a_record_that_computes_fields_is_refused() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Listed:
        names: list[str] = field(default_factory=list)

    with pytest.raises(AssertionError, match="names: a factory"):
        slotted(Listed)

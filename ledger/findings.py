"""What a check found wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One contradiction: at which height, in which field, against which rule, and in words."""

    height: int
    field: str
    rule: str
    text: str

    @property
    def line(self) -> str:
        """The finding as one line for people."""
        return f"height {self.height}, {self.field} (rule {self.rule}): {self.text}"

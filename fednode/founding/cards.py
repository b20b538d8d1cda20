"""The member card: what a member tells the others before there is a contract, signed by its key.

It holds no row, but sums over the member's training rows: per numeric column count, sum and sum of
squares, per categorical column how often each category occurs.
"""

import json
import math
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fednode.errors import ConfigError
from fednode.founding.card_files import read_card
from fednode.founding.keys import MemberKey
from fednode.learning.statistics import SiteStatistics
from ledger.encoding import domain_tag
from ledger.genesis import Role
from ledger.keys import ED25519
from ledger.metrics import METRIC_SCALE

CARD_BYTES_MAX: Final = 64 << 20
RoleName = Literal["trainer", "validator", "hold_out"]
Hexadecimal = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$")]


class MemberCard(BaseModel):
    """One member's card.

    Attributes:
        label: Column of the label, as in the member's configuration.
        positive: The member's rule for the positive class.
        hold_out: Share of the member's rows that it never trains on, in millionths (rule P16).
        statistics: Sums over its training rows; None for a member without data.
        signature: Ed25519, over everything else.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal["fednode member card 1"] = "fednode member card 1"
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    public_key: Annotated[Hexadecimal, StringConstraints(min_length=64, max_length=64)]
    roles: tuple[RoleName, ...]
    samples: Annotated[int, Field(ge=0)]
    hold_out: Annotated[int, Field(ge=0, lt=METRIC_SCALE)] = 0
    label: str
    positive: str
    statistics: SiteStatistics | None
    signature: Annotated[Hexadecimal, StringConstraints(min_length=128, max_length=128)] = "0" * 128

    @property
    def role_bits(self) -> int:
        """The roles as the contract writes them."""
        return sum({Role[name.upper()] for name in self.roles})

    def signed(self, key: MemberKey) -> Self:
        """Return the card with the member's signature."""
        signature = key.signing.sign(self._signing_bytes()).hex()
        return self.model_copy(update={"signature": signature})

    def problem(self) -> str | None:
        """Return why the card cannot be believed, None when it can."""
        key, signature = bytes.fromhex(self.public_key), bytes.fromhex(self.signature)
        if not ED25519.is_valid(key, self._signing_bytes(), signature):
            return "its signature is not that of its key"
        if (self.samples > 0) != (self.statistics is not None):
            return f"it has {self.samples} samples, but statistics: {self.statistics is not None}"
        if (self.hold_out > 0) != ("hold_out" in self.roles):
            return f"it holds {self.hold_out} millionths of its rows out, with roles {self.roles}"
        if self.statistics is not None and not _is_possible(self.statistics, self.samples):
            return f"its statistics cannot be those of {self.samples} rows"
        return None

    def _signing_bytes(self) -> bytes:
        content = self.model_dump(mode="json", exclude={"signature"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return domain_tag("card/1") + sha256(text.encode()).digest()


def _is_possible(statistics: SiteStatistics, samples: int) -> bool:
    numbers_hold = all(
        0 <= column.count <= samples
        and math.isfinite(column.total)
        and math.isfinite(column.squares)
        and column.squares >= 0.0
        for column in statistics.numeric
    )
    categories_hold = all(
        all(count > 0 for _, count in column.occurrences)
        and sum(count for _, count in column.occurrences) <= samples
        for column in statistics.categorical
    )
    return statistics.rows == samples and numbers_hold and categories_hold


def load_card(path: Path) -> MemberCard:
    """Return the card in a file.

    Raises:
        ConfigError: If the file cannot be read, is no card, or does not carry its key's signature.
    """
    card = read_card(
        path,
        MemberCard,
        what="a member card",
        bytes_max=CARD_BYTES_MAX,
        origin="'fednode init' makes one",
        remedy="ask its member for the file again",
    )
    problem = card.problem()
    if problem is not None:
        raise ConfigError(
            f"{path}: expected the card of {card.name!r} as its member signed it, but {problem}; "
            "ask its member for the file again"
        )
    return card

"""What an audit says: to a person in lines, to a program as plain data (rule P54)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ledger.deep import DeepOutcome
from ledger.findings import Finding
from ledger.genesis import Genesis, chain_id
from ledger.membership import MemberRecord, Membership, Standing, initial_membership
from ledger.records import Block, block_id

Plain: TypeAlias = "bool | int | str | list[Plain] | dict[str, Plain]"
"""What JSON can say without floats."""

SHOWS_UPDATES: Final = (
    "this audit read the update that each hospital sent; updates can give away facts about rows"
)
EARLIER_CHAIN: Final = (
    "where the initial model comes from: the earlier chain that the contract continues was not"
    " checked; give its export and genesis, too"
)
LIMITS: Final = (
    "that these are all blocks: a ledger cut off after any block verifies as well; compare the"
    " last height with a member's",
    "that no keys leaked since: whoever holds old keys of more than two thirds of the power can"
    " write another history; compare chain id and last block id with copies obtained elsewhere",
    "that the results were computed as the rule says: they are as certified by the validators,"
    " and were not recomputed from the updates here",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The outcome of an audit.

    Attributes:
        genesis: What the ledger was checked against.
        blocks: How many blocks were read.
        tip: The last of them, None without blocks.
        signers: Numbers of the members that signed the tip's certificate.
        findings: Everything that is wrong, in the order of the heights.
        membership: Members and keys after the last block; None where no block could be read.
        is_earlier_chain_checked: Whether the chain that the contract continues was audited, too.
        deep: What was recomputed; None for a light audit.
    """

    genesis: Genesis
    blocks: int
    tip: Block | None
    signers: tuple[int, ...]
    findings: tuple[Finding, ...]
    membership: Membership | None = None
    is_earlier_chain_checked: bool = False
    deep: DeepOutcome | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong, and nothing is left out that was to be recomputed."""
        return not self.findings and (self.deep is None or self.deep.is_complete)

    @property
    def results(self) -> str:
        """How far the results of training are vouched for, in words."""
        if self.deep is None:
            return "as certified, not recomputed"
        if self.deep.is_complete:
            return f"recomputed from the updates in {len(self.deep.recomputed)} training rounds"
        return (
            f"recomputed from the updates in {len(self.deep.recomputed)} training rounds, and not"
            f" at heights {heights_text(self.deep.missing)}, of which bodies are missing"
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What the audit cannot know."""
        is_recomputed = self.deep is not None and self.deep.is_complete
        limits = LIMITS[:-1] if is_recomputed else LIMITS
        if self.genesis.contract.continues and not self.is_earlier_chain_checked:
            return (EARLIER_CHAIN, *limits)
        return limits

    @property
    def members(self) -> tuple[MemberRecord, ...]:
        """Who took part, with the keys after the last block."""
        known = self.membership or initial_membership(self.genesis.contract)
        return known.members

    @property
    def chain_id(self) -> bytes:
        """The id of the chain."""
        return chain_id(self.genesis.contract)


def report_data(report: AuditReport) -> dict[str, Plain]:
    """Return a report as data for JSON; digests as hexadecimal text."""
    members: list[Plain] = [
        {
            "number": number,
            "name": record.member.name,
            "public_key": record.member.public_key.hex(),
            "is_trainer": record.member.is_trainer,
            "is_validator": record.member.is_validator,
            "standing": record.standing.name,
            "admitted": record.admitted,
        }
        for number, record in enumerate(report.members)
    ]
    tip = None if report.tip is None else report.tip.header
    return {
        "holds": report.holds,
        "chain_id": report.chain_id.hex(),
        "name": report.genesis.contract.name,
        "blocks": report.blocks,
        "last_height": 0 if tip is None else tip.height,
        "last_block_id": "" if tip is None else block_id(tip).hex(),
        "training_round": 0 if tip is None else tip.training_round,
        "model_id": "" if tip is None else tip.results.model_id.hex(),
        "members": members,
        "signers": list(report.signers),
        "results": report.results,
        "recomputed": [] if report.deep is None else list(report.deep.recomputed),
        "missing": [] if report.deep is None else list(report.deep.missing),
        "findings": [finding_data(each) for each in report.findings],
        "cannot_know": list(report.limits),
    }


def report_lines(report: AuditReport) -> tuple[str, ...]:
    """Return a report as lines of text for a person."""
    contract = report.genesis.contract
    lines = [
        f"network   {printable(contract.name)}",
        f"chain id  {report.chain_id.hex()}  (compare it with a copy obtained elsewhere)",
        *(_member_line(number, record) for number, record in enumerate(report.members)),
    ]
    if report.tip is None:
        lines.append("blocks    none")
    else:
        header = report.tip.header
        names = ", ".join(f"{each} {_name(report.members, each)}" for each in report.signers)
        lines += [
            f"blocks    {report.blocks}, the last of height {header.height}"
            f" after {header.training_round} training rounds: {block_id(header).hex()}",
            f"signers   of the last block: {names or 'none'}",
            f"model     {header.results.model_id.hex()}",
            f"results   {report.results}",
        ]
    if report.deep is not None:
        lines.append(f"note      {SHOWS_UPDATES}")
    lines.append("This audit cannot know:")
    lines += [f"  - {limit}" for limit in report.limits]
    lines += [finding_line(each) for each in report.findings]
    lines.append(_verdict(report))
    return tuple(lines)


def _verdict(report: AuditReport) -> str:
    if report.holds:
        return "every check holds"
    if report.findings:
        return f"NOT VALID: {len(report.findings)} findings"
    assert report.deep is not None  # else it would hold
    missing = heights_text(report.deep.missing)
    return f"NOT RECOMPUTED: bodies of heights {missing} are missing; what was checked holds"


def heights_text(heights: Sequence[int]) -> str:
    """Return heights in words, neighbours drawn together.

    Examples:
        >>> heights_text([1, 2, 3, 7, 9, 10])
        '1-3, 7, 9-10'
    """
    spans: list[list[int]] = []
    for height in heights:
        if spans and spans[-1][1] == height - 1:
            spans[-1][1] = height
        else:
            spans.append([height, height])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def finding_data(finding: Finding) -> dict[str, Plain]:
    """Return one finding as data for JSON."""
    return {
        "height": finding.height,
        "field": finding.field,
        "rule": finding.rule,
        "text": finding.text,
    }


def finding_line(finding: Finding) -> str:
    """Return one finding as `height H field F rule P..: text`."""
    text = printable(finding.text)
    return f"height {finding.height} field {finding.field} rule {finding.rule}: {text}"


def _member_line(number: int, record: MemberRecord) -> str:
    member = record.member
    roles = [
        name
        for name, has_role in (("trainer", member.is_trainer), ("validator", member.is_validator))
        if has_role
    ]
    name = printable(member.name)
    since = "" if record.standing is Standing.ACTIVE else f", {record.standing.name.lower()}"
    if record.admitted and record.was_admitted:
        since = f", admitted at height {record.admitted}{since}"
    return f"member    {number} {name} ({', '.join(roles)}{since}) key {member.public_key.hex()}"


def _name(members: tuple[MemberRecord, ...], number: int) -> str:
    return printable(members[number].member.name) if number < len(members) else "unknown"


def printable(text: str) -> str:
    """Return text without line breaks and terminal escapes, by which a name could forge lines."""
    return "".join(each if each.isprintable() else "?" for each in text)

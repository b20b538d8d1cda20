"""For each rule of docs/protocol.md a branch that it needs, and the tests that miss it.

`scripts/knockouts.py` takes each branch out of a copy of the sources and runs the tests: they must
fail. That the branches are where this table says is checked with all other tests.
"""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Knockout:
    """One rule without one of its branches.

    Attributes:
        rule: Its number.
        file: Where the branch is.
        old: The branch, found once in that file.
        new: What stands there without it.
        tests: Arguments for pytest; these files cite the rule, and some test of them fails.
    """

    rule: str
    file: str
    old: str
    new: str
    tests: str


def transcript_of(rule: str) -> str:
    """The arguments for pytest that run the transcripts of a rule."""
    return f"tests/test_transcripts.py -k /{rule}]"


def _engine(rule: str, file: str, old: str, new: str) -> Knockout:
    """A rule of which its transcript alone is tried."""
    return Knockout(
        rule=rule, file=f"consensus/{file}.py", old=old, new=new, tests=transcript_of(rule)
    )


def _ledger(rule: str, file: str, old: str, new: str, tests: str) -> Knockout:
    return Knockout(rule=rule, file=f"ledger/{file}.py", old=old, new=new, tests=tests)


_ROWS: Final = (
    _ledger(
        "P1",
        "genesis",
        'domain_tag("chain/1") + encode(contract)',
        'domain_tag("chain/1") + encode(contract.members)',
        "tests/ledger/test_genesis.py",
    ),
    _ledger(
        "P3",
        "keys",
        "domain_tag(statement.TAG) + chain_id + fixed_bytes(statement)",
        "domain_tag(statement.TAG) + fixed_bytes(statement)",
        "tests/ledger/test_keys.py",
    ),
    _ledger(
        "P4",
        "bodies",
        "    return salt + encode_model",
        "    return encode_model",
        "tests/ledger/test_bodies.py",
    ),
    _engine(
        "P10",
        "collect",
        "        if problem is not None or not self._is_training:",
        "        if True:",
    ),
    _engine("P11", "collect", "        return enough and all(", "        return enough and any("),
    _engine(
        "P12",
        "collect",
        "self.has_quorum and (self.is_grace_over or self.has_all)",
        "self.has_quorum",
    ),
    _ledger(
        "P12a",
        "inclusion",
        "        if counts[each.statement.trainer] == 1\n        and",
        "        if",
        "tests/ledger/test_inclusion.py",
    ),
    _engine("P13", "height", "        if answer.is_valid:\n", "        if True:\n"),
    _engine("P14", "rules", "    if ahead_ms > 0:", "    if ahead_ms > 10**9:"),
    _engine("P15", "rules", "    if view >= facts.empty_view:", "    if view > facts.empty_view:"),
    _engine(
        "P20",
        "rules",
        "        return Reoffer(certificate) if is_ready else None",
        "        is_ready = False",
    ),
    _engine(
        "P21",
        "rules",
        "record.view > 0 or facts.collection.has_quorum",
        "facts.collection.is_ready",
    ),
    _engine(
        "P22",
        "rules",
        "    if not is_free and lock is not None and proposal.valid_view < lock.view:",
        "    if False:",
    ),
    _engine(
        "P23", "rules", "lock is not None and proposal.valid_view < lock.view:", "lock is not None:"
    ),
    _engine(
        "P24",
        "rules",
        "    return Wait(TimerKind.PREPARE, record.view) if is_complete else None",
        "    return None",
    ),
    _engine("P25", "rules", "    return Commit(value[1])\n", "    return None\n"),
    _engine(
        "P26",
        "rules",
        'return _nil("a quorum prepared nil") if record.step is Step.PROPOSE else Commit(NIL)',
        "return Commit(NIL)",
    ),
    _engine("P27", "rules", "    return Wait(TimerKind.COMMIT, view)", "    return None"),
    _engine(
        "P28",
        "engine",
        "        if held.status is BlockStatus.INVALID:\n            self._halt",
        "        if False:\n            self._halt",
    ),
    _engine(
        "P29", "rules", "    return None if view is None else EnterView(view)", "    return None"
    ),
    _engine(
        "P30",
        "rules",
        '            return _nil("no valid proposal in time") if facts.is_validator else None',
        "            return None",
    ),
    _engine(
        "P32",
        "rules",
        " if facts.tally.nil_view >= record.view else None",
        " if False else None",
    ),
    _engine(
        "P33",
        "rules",
        "        return None if certificate.block_id in facts.fetching else Fetch(certificate)",
        "        return None",
    ),
    _engine(
        "P34",
        "votes",
        "                return _KNOWN if is_same else Addition(is_new=False, contradicted=first)",
        "                return _KNOWN",
    ),
    _engine("P35", "rebroadcast", "    if record.entry_proof:\n", "    if False:\n"),
    _engine("P36", "pace", "grown_ms(max(base_ms, agreed_ms), view, cap_ms)", "base_ms"),
    _engine(
        "P40", "past", "        if tip is not None and tip.vote == statement:", "        if False:"
    ),
    _engine(
        "P45",
        "desk",
        "            self.publish(EvidenceMessage(evidence=evidence))",
        "            pass",
    ),
    _ledger(
        "P2",
        "encoding",
        "    if encode_as(kind, record) != bytes(data):",
        "    if False:",
        "tests/ledger/test_encoding.py",
    ),
    Knockout(
        rule="P5",
        file="fednode/aggregation/fixedpoint.py",
        old="    np.clip(scaled, -VALUE_MAX, VALUE_MAX, out=scaled)\n",
        new="",
        tests="tests/fednode/aggregation/test_fixedpoint.py",
    ),
    Knockout(
        rule="P37",
        file="consensus/votes.py",
        old="        if statement.view > view + 1 and not self._make_room(vote, view):",
        new="        if False:",
        tests="tests/consensus/test_votes.py",
    ),
    _ledger(
        "P41",
        "powers",
        "    return 3 * (top + ceiling * (count - split)) < total",
        "    return 3 * (top + ceiling * (count - split)) <= total",
        "tests/ledger/test_powers.py",
    ),
    _ledger(
        "P42",
        "reputation",
        "max(1, min(count, clip) * quality // SCALE",
        "max(1, count * quality // SCALE",
        "tests/ledger/test_reputation.py",
    ),
    _ledger(
        "P43",
        "reputation",
        "SCALE // 4 * min(count, clip) // clip",
        "SCALE // 4 * count // clip",
        "tests/ledger/test_reputation.py",
    ),
    _ledger(
        "P44",
        "election",
        'chain_id + height.to_bytes(8, "big")',
        "chain_id",
        "tests/ledger/test_election.py",
    ),
    _ledger(
        "P50",
        "validity",
        '    yield from _different("parent_id", s.state.tip_id, s.header.parent_id)',
        "    yield from ()",
        "tests/ledger/test_validity.py tests/ledger/test_forgeries.py",
    ),
    _ledger(
        "P51",
        "store",
        "        if height < self.head:\n",
        "        if False:\n",
        "tests/ledger/test_store.py",
    ),
    _ledger(
        "P52",
        "state",
        "encode(replace(state, tip_id=ZERO_DIGEST))",
        "encode(state)",
        "tests/ledger/test_state.py",
    ),
    _ledger(
        "P53",
        "database",
        "PRAGMA synchronous=FULL;",
        "PRAGMA synchronous=NORMAL;",
        "tests/crash/test_power_cuts.py",
    ),
    _ledger(
        "P54",
        "deep",
        "                missing.append(state.height + 1)",
        "                pass",
        "tests/ledger/test_deep.py",
    ),
    _ledger(
        "P55",
        "validity",
        '    yield from _different("log_root", s.after.log.root(), s.header.log_root)',
        "    yield from ()",
        "tests/ledger/test_forgeries.py",
    ),
    Knockout(
        rule="P60",
        file="consensus/signer.py",
        old="            if slot is not None and slot.position >= position:",
        new="            if False:",
        tests="tests/consensus/test_signer.py",
    ),
    _engine("P80", "sync", "    if got != expected:\n", "    if True:\n"),
    _engine(
        "P82",
        "height",
        "        for proposal, block in proposals:",
        "        for proposal, block in ():",
    ),
    _ledger(
        "P83",
        "genesis_rules",
        "contract.n_trainers - updates_needed(contract)",
        "contract.n_trainers",
        "tests/ledger/test_genesis.py",
    ),
    Knockout(
        rule="P90",
        file="fednode/wire/envelope.py",
        old="decrypt(sealed, header, nonce, key.key)",
        new='decrypt(sealed, b"", nonce, key.key)',
        tests="tests/fednode/wire/test_envelope.py",
    ),
    Knockout(
        rule="P91",
        file="fednode/inbox.py",
        old="        if mark in self._seen:",
        new="        if False:",
        tests="tests/fednode/test_inbox.py",
    ),
    Knockout(
        rule="P92",
        file="fednode/transport/backoff.py",
        old="FIRST_MS << min(attempt, _DOUBLINGS_MAX)",
        new="FIRST_MS",
        tests="tests/fednode/transport/test_settings.py",
    ),
    Knockout(
        rule="P93",
        file="fednode/timers.py",
        old="        for timer in [each for each in self._handles if 1 <= each.height <= height]:",
        new="        for timer in list(self._handles):",
        tests="tests/fednode/test_timers.py",
    ),
    _ledger(
        "P16", "feedback", "if gain > 0], powers)", "], powers)", "tests/ledger/test_feedback.py"
    ),
    _ledger(
        "P81",
        "changes",
        "    if first <= operation.expiry <= last:",
        "    if True:",
        "tests/ledger/test_validity.py tests/ledger/test_operations.py",
    ),
)
# Their transcripts show another branch, which stands below.
_SHOWN_OTHERWISE: Final = frozenset({"P51", "P53", "P54", "P60", "P93"})
KNOCKOUTS: Final = (
    *_ROWS,
    *(
        replace(each, tests=transcript_of(each.rule))
        for each in _ROWS
        if each.rule not in _SHOWN_OTHERWISE and each.tests != transcript_of(each.rule)
    ),
    _ledger(
        "P15",
        "inclusion",
        "    return is_new and has_reporters and not",
        "    return has_reporters and not",
        transcript_of("P15"),
    ),
    _ledger(
        "P40",
        "reputation",
        "    if absences.bit_count() > ABSENCES_MAX:",
        "    if absences:",
        transcript_of("P40"),
    ),
    _ledger(
        "P45",
        "evidence",
        "    if earliest <= stated <= height:",
        "    if True:",
        transcript_of("P45"),
    ),
    _ledger(
        "P51",
        "validity",
        "    expected = 1 if s.state.height else 0\n",
        "    expected = len(s.block.last_certificate)\n",
        transcript_of("P51"),
    ),
    _ledger(
        "P53",
        "database",
        "    BEGIN SELECT RAISE(ABORT, 'the ledger grows in order'); END;",
        "    BEGIN SELECT 1; END;",
        transcript_of("P53"),
    ),
    _ledger(
        "P54",
        "audit",
        "    if has_blocks and chain.certificate is None:",
        "    if False:",
        transcript_of("P54"),
    ),
    _engine(
        "P60",
        "asking",
        "        return is_all or validators.is_blocked_by(power)",
        "        return bool(reached)",
    ),
    Knockout(
        rule="P93",
        file="fednode/wire/pull.py",
        old="min(limits.answer_timeout_ms << min(rounds, 16), limits.backoff_max_ms)",
        new="limits.answer_timeout_ms << min(rounds, 16)",
        tests=transcript_of("P93"),
    ),
)

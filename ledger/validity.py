"""Whether a block is valid on top of a state, without any body: numbered checks (P1-P52).

Each check compares the block with what the parent state says, never with another field of the
block, so that one forged field is found by one check. Whether the *results* are those of the bodies
is recomputed elsewhere (rule P13); here only their shape is checked.

A test switches a check off by passing the other ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.building import (
    BLOCK_VERSION,
    rule_parameters_hash,
    unchanged_results,
)
from ledger.certificates import certificate_hash, check_certificate
from ledger.election import proposer_of
from ledger.errors import CertificateError
from ledger.evidence import evidence_root
from ledger.findings import Finding
from ledger.genesis import Contract
from ledger.inclusion import (
    has_have_quorum,
    listing_problem,
    need,
    opens,
    weighted_contributions,
)
from ledger.keys import ED25519, SignatureScheme
from ledger.membership import contract_in_force, public_keys_at
from ledger.operation_checks import OPERATION_CHECKS
from ledger.powers import validators_hash
from ledger.records import Block, BlockKind, Phase
from ledger.state import State, state_root
from ledger.statement_checks import (
    evidence_admitted,
    evidence_content,
    evidence_height,
    evidence_order,
    evidence_place,
    evidence_rest,
    evidence_role,
    evidence_signatures,
    metrics_model,
    metrics_once,
    metrics_order,
    metrics_role,
    metrics_signatures,
)
from ledger.subject import Problems, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One numbered check of a block and the rule of the protocol that it enforces."""

    number: int
    rule: str
    find: Callable[[Subject], Problems]

    @property
    def name(self) -> str:
        """Its short name."""
        return f"C{self.number}"


def check_block(
    contract: Contract,
    state: State,
    block: Block,
    *,
    scheme: SignatureScheme = ED25519,
    checks: "Sequence[Check] | None" = None,
) -> tuple[Finding, ...]:
    """Return everything that is wrong with `block` on top of `state`; nothing when it is valid.

    Args:
        contract: That of the genesis or of any height: what is in force follows from `state`.
        state: The state after the parent.
        block: A decoded block from anywhere.
        scheme: How signatures are checked.
        checks: The checks to carry out, all of `CHECKS` unless told.
    """
    in_force = contract_in_force(contract, state)
    subject = Subject(contract=in_force, state=state, block=block, scheme=scheme)
    return findings_of(subject, CHECKS if checks is None else checks)


def findings_of(subject: Subject, checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Return what `checks` find wrong with a block; what they computed stays in `subject`."""
    return tuple(
        Finding(height=subject.height, field=field, rule=check.rule, text=text)
        for check in checks
        for field, text in check.find(subject)
    )


def _different(field: str, expected: object, got: object) -> Problems:
    if expected != got:
        yield field, f"expected {_shown(expected)}, got {_shown(got)}"


def _shown(value: object) -> str:
    return value.hex()[:8] if isinstance(value, bytes) else str(value)


def _version(s: Subject) -> Problems:
    yield from _different("version", BLOCK_VERSION, s.header.version)


def _chain(s: Subject) -> Problems:
    yield from _different("chain_id", s.state.chain_id, s.header.chain_id)


def _height(s: Subject) -> Problems:
    yield from _different("height", s.height, s.header.height)


def _parent(s: Subject) -> Problems:
    yield from _different("parent_id", s.state.tip_id, s.header.parent_id)


def _time(s: Subject) -> Problems:
    if s.header.time_ms <= s.state.time_ms:
        yield "time_ms", f"expected more than {s.state.time_ms}, got {s.header.time_ms}"


def _is_open(s: Subject) -> Problems:
    has_changes = bool(s.block.operations or s.block.readies or s.block.evidence)
    if not opens(s.contract, s.state, has_changes=has_changes):
        what = "training does not go on, and it changes no members or terms and accuses nobody"
        yield "height", f"expected no such block: {what}"


def _kind(s: Subject) -> Problems:
    enough = len(s.included) >= need(s.contract, s.state)
    is_aggregate = enough and not s.is_late
    expected = BlockKind.AGGREGATE if is_aggregate else BlockKind.EMPTY
    if s.header.kind is not expected:
        facts = f"{len(s.included)} updates included, {need(s.contract, s.state)} needed"
        text = f"expected {expected.name}, got {s.header.kind.name}: {facts}"
        yield "kind", f"{text}, created in view {s.header.created_view}"


def _training_round(s: Subject) -> Problems:
    expected = s.state.training_round + (s.header.kind is BlockKind.AGGREGATE)
    yield from _different("training_round", expected, s.header.training_round)


def _proposer(s: Subject) -> Problems:
    expected = proposer_of(s.contract, s.state, s.header.created_view)
    yield from _different("proposer", expected, s.header.proposer)


def _rule(s: Subject) -> Problems:
    terms = s.contract.aggregation
    yield from _different("rule_id", terms.rule_id, s.header.rule_id)
    expected = rule_parameters_hash(terms)
    yield from _different("rule_parameters_hash", expected, s.header.rule_parameters_hash)


def _base(s: Subject) -> Problems:
    yield from _different("base_model_id", s.state.model_id, s.header.base_model_id)


def _have_signers(s: Subject) -> Problems:
    numbers = [have.signer for have in s.block.haves]
    if numbers != sorted(set(numbers)):
        yield "haves", f"expected one HAVE per validator in member order, got {numbers}"
    for number in numbers:
        if s.state.validators.position_of(number) is None:
            yield "haves", f"member {number} is no validator of this height"


def _have_content(s: Subject) -> Problems:
    for have in s.block.haves:
        yield from _different(f"haves[{have.signer}].height", s.height, have.statement.height)
        problem = listing_problem(s.contract, have.statement)
        if problem is not None:
            yield f"haves[{have.signer}].entries", problem


def _have_signatures(s: Subject) -> Problems:
    for have in s.block.haves:
        yield from s.signature_problem(have, member=have.signer, field=f"haves[{have.signer}]")


def _have_quorum(s: Subject) -> Problems:
    if s.is_late:
        if s.block.haves or s.block.updates:
            yield "haves", f"expected none in a block created in view {s.header.created_view}"
    elif not has_have_quorum(s.block.haves, s.state.validators):
        yield (
            "haves",
            f"{len(s.block.haves)} HAVE lists are no quorum of {s.state.validators.total}",
        )


def _vouched_headers(s: Subject) -> Problems:
    if s.keys != s.vouched:
        text = "expected exactly the headers that blocking power lists, ascending"
        missing, extra = len(set(s.vouched) - set(s.keys)), len(set(s.keys) - set(s.vouched))
        yield "updates", f"{text}: {missing} missing, {extra} too many of {len(s.keys)}"


def _update_signatures(s: Subject) -> Problems:
    for update in s.block.updates:
        trainer = update.statement.trainer
        yield from s.signature_problem(update, member=trainer, field=f"updates[{trainer}]")


def _contributions(s: Subject) -> Problems:
    counted = s.included if s.header.kind is BlockKind.AGGREGATE else ()
    expected = [each.statement.trainer for each in counted]
    got = [each.trainer for each in s.header.results.contributions]
    yield from _different("results.contributions", expected, got)


def _weights(s: Subject) -> Problems:
    weights = weighted_contributions(s.contract, s.state, s.included)
    trainers = [each.statement.trainer for each in s.included]
    expected = dict(zip(trainers, weights, strict=True))
    for each in s.header.results.contributions:
        field = f"results.contributions[{each.trainer}].weight"
        yield from _different(field, expected.get(each.trainer, each.weight), each.weight)


def _unchanged(s: Subject) -> Problems:
    if s.header.kind is BlockKind.EMPTY:
        expected, got = unchanged_results(s.state), s.header.results
        yield from _different("results.model_id", expected.model_id, got.model_id)
        yield from _different("results.optimizer_id", expected.optimizer_id, got.optimizer_id)


def _roots(s: Subject) -> Problems:
    yield from _different("updates_root", s.block.updates_root, s.header.updates_root)
    yield from _different("haves_root", s.block.haves_root, s.header.haves_root)
    yield from _different("evidence_root", evidence_root(s.block.evidence), s.header.evidence_root)
    yield from _different("metrics_root", s.block.metrics_root, s.header.metrics_root)


def _operations_root(s: Subject) -> Problems:
    yield from _different("operations_root", s.block.operations_root, s.header.operations_root)


def _certificate_presence(s: Subject) -> Problems:
    expected = 1 if s.state.height else 0
    yield from _different("last_certificate", expected, len(s.block.last_certificate))


def _certificate_hash(s: Subject) -> Problems:
    expected = certificate_hash(s.block.last_certificate)
    yield from _different("last_certificate_hash", expected, s.header.last_certificate_hash)


def _certificate_subject(s: Subject) -> Problems:
    for each in s.block.last_certificate:
        yield from _different("last_certificate.phase", Phase.COMMIT, each.phase)
        yield from _different("last_certificate.height", s.state.height, each.height)
        yield from _different("last_certificate.block_id", s.state.tip_id, each.block_id)


def _certificate_view(s: Subject) -> Problems:
    for each in s.block.last_certificate:
        if each.view < s.state.created_view:
            created = s.state.created_view
            yield "last_certificate.view", f"view {each.view} is before its block's view {created}"


def _certificate_quorum(s: Subject) -> Problems:
    for each in s.block.last_certificate:
        try:
            check_certificate(
                each,
                s.state.previous_validators,
                public_keys_at(s.state.membership, s.state.height),
                chain_id=s.state.chain_id,
                scheme=s.scheme,
            )
        except CertificateError as error:
            yield "last_certificate", str(error)


def _validators(s: Subject) -> Problems:
    expected = validators_hash(s.state.validators, s.state.membership.public_keys)
    yield from _different("validators_hash", expected, s.header.validators_hash)


def _next_validators(s: Subject) -> Problems:
    expected = validators_hash(s.after.validators, s.after.membership.public_keys)
    yield from _different("next_validators_hash", expected, s.header.next_validators_hash)


def _state_root(s: Subject) -> Problems:
    yield from _different("state_root", state_root(s.after), s.header.state_root)


def _log_root(s: Subject) -> Problems:
    yield from _different("log_root", s.after.log.root(), s.header.log_root)


_ORDER: Final[tuple[tuple[str, Callable[[Subject], Problems]], ...]] = (
    ("P50", _version),
    ("P1", _chain),
    ("P50", _height),
    ("P50", _parent),
    ("P14", _time),
    ("P15", _is_open),
    ("P15", _kind),
    ("P50", _training_round),
    ("P44", _proposer),
    ("P50", _rule),
    ("P50", _base),
    ("P12", _have_signers),
    ("P11", _have_content),
    ("P3", _have_signatures),
    ("P12", _have_quorum),
    ("P12", _vouched_headers),
    ("P3", _update_signatures),
    ("P12", _contributions),
    ("P42", _weights),
    ("P15", _unchanged),
    ("P50", _roots),
    ("P50", _operations_root),
    ("P51", _certificate_presence),
    ("P50", _certificate_hash),
    ("P51", _certificate_subject),
    ("P50", _certificate_view),
    ("P51", _certificate_quorum),
    ("P41", _validators),
    ("P41", _next_validators),
    ("P52", _state_root),
    ("P55", _log_root),
    ("P45", evidence_order),
    ("P45", evidence_place),
    ("P45", evidence_content),
    ("P45", evidence_height),
    ("P45", evidence_role),
    ("P45", evidence_signatures),
    ("P45", evidence_rest),
    ("P16", metrics_order),
    ("P16", metrics_model),
    ("P16", metrics_role),
    ("P16", metrics_once),
    ("P3", metrics_signatures),
    ("P81", evidence_admitted),
    *(("P81", find) for find in OPERATION_CHECKS),
)
CHECKS: Final = tuple(
    Check(number=number, rule=rule, find=find)
    for number, (rule, find) in enumerate(_ORDER, start=1)
)

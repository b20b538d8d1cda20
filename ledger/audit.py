"""Check a whole ledger offline from its genesis: every finding, not the first (rule P54).

What is checked, in this order:

* A1-A2, the genesis: its terms can hold, and every founding member consented (rule P1);
* C1 and up, each block on top of the state before it: `ledger.validity.CHECKS`, which covers the
  certificate of the parent that the block carries;
* A3-A6, the tip's certificate, as the next block would be held to it.

After a finding the audit goes on from what the block itself claims, so one forged field may be
reported again at later heights; the first report of it is the one to read.

The audit is *light*: results of aggregation are taken as certified by a quorum and not recomputed
from the updates.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ledger.audit_report import AuditReport
from ledger.certificates import check_certificate, signers
from ledger.errors import CertificateError, ContractError
from ledger.findings import Finding
from ledger.genesis import Contract, Genesis, chain_id, consent_bytes
from ledger.genesis_rules import check_contract
from ledger.keys import ED25519, SignatureScheme
from ledger.membership import contract_in_force, public_keys_at
from ledger.records import Block, BlockHeader, Phase, QuorumCertificate
from ledger.state import State, initial_state
from ledger.subject import Subject
from ledger.validity import CHECKS, Check, findings_of

Problems: TypeAlias = Iterator[tuple[str, str]]
"""(field, text) of each contradiction."""
TERMS_FIELD: Final = "genesis.contract"
CLAIMED_HEIGHT_MAX: Final = 2**62
"""A block that claims to be higher is not believed when the audit goes on after it."""
CLAIMED_TRAINING_ROUND_MAX: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What an audit saw besides single blocks: where the chain begins and how it ends."""

    genesis: Genesis
    state: State | None
    certificate: QuorumCertificate | None
    scheme: SignatureScheme

    @property
    def contract(self) -> Contract:
        """The terms."""
        return self.genesis.contract


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """One numbered check of a chain and the rule of the protocol that it enforces."""

    number: int
    rule: str
    find: Callable[[Chain], Problems]
    is_of_tip: bool


def audit(
    genesis: Genesis,
    blocks: Iterable[Block],
    certificate: QuorumCertificate | None,
    *,
    scheme: SignatureScheme = ED25519,
    checks: "Sequence[AuditCheck] | None" = None,
    block_checks: Sequence[Check] = CHECKS,
) -> AuditReport:
    """Return everything that is wrong with a ledger, and what it says if nothing is.

    Args:
        genesis: The contract that the auditor got from a founding member, not from the ledger.
        blocks: Blocks 1 to H in order, from anywhere.
        certificate: The certificate of height H; None for a ledger without blocks.
        scheme: How signatures are checked.
        checks: The checks of the chain to carry out, all of `AUDIT_CHECKS` unless told.
        block_checks: The checks of each block to carry out.
    """
    chosen = AUDIT_CHECKS if checks is None else checks
    chain = Chain(genesis=genesis, state=None, certificate=certificate, scheme=scheme)
    findings = [each for check in chosen if not check.is_of_tip for each in _found(check, chain)]
    if any(each.field.startswith(TERMS_FIELD) for each in findings):
        # Terms that cannot hold define no validators: nothing can be checked against them.
        return AuditReport(
            genesis=genesis, blocks=0, tip=None, signers=(), findings=tuple(findings)
        )
    state = initial_state(genesis.contract)
    contract = genesis.contract
    tip: Block | None = None
    count = 0
    for block in blocks:
        contract = contract_in_force(contract, state)
        subject = Subject(contract=contract, state=state, block=block, scheme=scheme)
        found = findings_of(subject, block_checks)
        state = subject.after
        if found:
            findings += found
            state = _as_claimed(state, block.header)
        tip, count = block, count + 1
    chain = replace(chain, state=state)
    findings += [each for check in chosen if check.is_of_tip for each in _found(check, chain)]
    return AuditReport(
        genesis=genesis,
        blocks=count,
        tip=tip,
        signers=() if certificate is None else signers(certificate, state.previous_validators),
        findings=tuple(findings),
        membership=state.membership,
    )


def _found(check: AuditCheck, chain: Chain) -> Iterator[Finding]:
    height = chain.state.height if chain.state is not None else 0
    for field, text in check.find(chain):
        yield Finding(height=height, field=field, rule=check.rule, text=text)


def _as_claimed(state: State, header: BlockHeader) -> State:
    """Return the state to go on from after a block with findings: its own claims, if possible."""
    height, training_round = header.height, header.training_round
    return replace(
        state,
        height=height if 0 < height < CLAIMED_HEIGHT_MAX else state.height,
        training_round=(
            training_round if training_round < CLAIMED_TRAINING_ROUND_MAX else state.training_round
        ),
    )


def _terms(chain: Chain) -> Problems:
    try:
        check_contract(chain.contract)
    except ContractError as error:
        for line in str(error).splitlines():
            field, colon, text = line.partition(": ")
            yield (f"{TERMS_FIELD}.{field}", text) if colon else (TERMS_FIELD, line)


def _consents(chain: Chain) -> Problems:
    members, message = chain.contract.members, consent_bytes(chain.contract)
    numbers = [each.member for each in chain.genesis.signatures]
    if numbers != list(range(len(members))):
        text = f"expected one of each of {len(members)} members, in order, got those of {numbers}"
        yield "genesis.signatures", text
    for each in chain.genesis.signatures:
        is_known = each.member < len(members)
        if not is_known or not chain.scheme.is_valid(
            members[each.member].public_key, message, each.signature
        ):
            field = f"genesis.signatures[{each.member}]"
            yield field, "not that member's signature under this contract"


def _tip_presence(chain: Chain) -> Problems:
    has_blocks = chain.state is not None and chain.state.height > 0
    if has_blocks and chain.certificate is None:
        yield "certificate", "expected the certificate of the last block, got none"
    if not has_blocks and chain.certificate is not None:
        yield "certificate", "expected none, because there is no block"


def _tip_subject(chain: Chain) -> Problems:
    for state, certificate in _tip(chain):
        if certificate.phase is not Phase.COMMIT:
            yield "certificate.phase", f"expected COMMIT, got {certificate.phase.name}"
        if certificate.height != state.height:
            text = f"expected height {state.height}, got {certificate.height}"
            yield "certificate.height", text
        if certificate.block_id != state.tip_id:
            expected, got = state.tip_id.hex()[:8], certificate.block_id.hex()[:8] or "nil"
            yield "certificate.block_id", f"expected the last block {expected}, got {got}"


def _tip_view(chain: Chain) -> Problems:
    for state, certificate in _tip(chain):
        if certificate.view < state.created_view:
            created = state.created_view
            text = f"view {certificate.view} is before its block's view {created}"
            yield "certificate.view", text


def _tip_quorum(chain: Chain) -> Problems:
    for state, certificate in _tip(chain):
        try:
            check_certificate(
                certificate,
                state.previous_validators,
                public_keys_at(state.membership, state.height),
                chain_id=chain_id(chain.contract),
                scheme=chain.scheme,
            )
        except CertificateError as error:
            yield "certificate", str(error)


def _tip(chain: Chain) -> Iterator[tuple[State, QuorumCertificate]]:
    """Yield the last state and its certificate where there are both."""
    if chain.state is not None and chain.state.height and chain.certificate is not None:
        yield chain.state, chain.certificate


AUDIT_CHECKS: Final = tuple(
    AuditCheck(number=number, rule=rule, find=find, is_of_tip=is_of_tip)
    for number, (rule, find, is_of_tip) in enumerate(
        (
            ("P1", _terms, False),
            ("P1", _consents, False),
            ("P51", _tip_presence, True),
            ("P51", _tip_subject, True),
            ("P50", _tip_view, True),
            ("P51", _tip_quorum, True),
        ),
        start=1,
    )
)

"""Faults of the ledger: thresholds, powers, scores, inclusion, bans and what is hashed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from consensus import engine as engine_module
from consensus import verification
from consensus.accusations import Accusations
from consensus.desk import Desk
from consensus.effects import EvidenceReceived
from consensus.engine import Engine
from consensus.height import Height
from consensus.messages import EvidenceMessage
from consensus.metrics_pool import MetricsPool
from fednode import blockwork
from fednode.aggregation import mean, rules
from ledger import evidence, feedback, inclusion, keys, powers, state, statement_checks, validity
from ledger.encoding import domain_tag, fixed_bytes
from ledger.genesis import Contract
from ledger.keys import Signed, Statement
from ledger.powers import ValidatorSet
from ledger.records import Block, HaveList, QuorumCertificate, UpdateHeader
from ledger.state import State
from tests.simulation.patching import attribute_replaced, replaced


def quorum_half() -> AbstractContextManager[None]:
    """A quorum is more than half of the power, not more than two thirds."""
    return replaced(powers.is_quorum, lambda power, total: 2 * power > total)


def quorum_of_two_thirds() -> AbstractContextManager[None]:
    """Two thirds of the power are a quorum, not only more than that."""
    return replaced(powers.is_quorum, lambda power, total: 3 * power >= 2 * total)


def old_powers() -> AbstractContextManager[None]:
    """Votes are weighed with the powers of the height before (against rule P41)."""
    original = Height.__init__

    def begin(height: Height, desk: Desk, heard: dict[int, int]) -> None:
        now = desk.state
        if now.height:
            desk.state = replace(now, validators=now.previous_validators)
        original(height, desk, heard)
        desk.state = now

    return attribute_replaced(Height, "__init__", begin)


@contextmanager
def seen_certificate() -> Iterator[None]:
    """Participation follows the certificate seen here, not the block's (against rule P40)."""
    commit, original = Engine._commit, state.apply
    seen: list[QuorumCertificate | None] = [None]

    def note(engine: Engine, block: Block, certificate: QuorumCertificate, *, is_tip: bool) -> None:
        seen[0] = engine._desk.tip_certificate
        commit(engine, block, certificate, is_tip=is_tip)

    def apply(contract: Contract, parent: State, block: Block) -> State:
        if seen[0] is not None and block.last_certificate:
            block = replace(block, last_certificate=(seen[0],))
        return original(contract, parent, block)

    with (
        attribute_replaced(Engine, "_commit", note),
        attribute_replaced(engine_module, "apply", apply),
    ):
        yield


def one_list_vouches() -> AbstractContextManager[None]:
    """One HAVE list is enough for an update (against rule P12)."""

    def vouched(
        haves: Iterable[Signed[HaveList]], _: ValidatorSet
    ) -> tuple[inclusion.Vouched, ...]:
        entries = {(e.trainer, e.header_digest) for have in haves for e in have.statement.entries}
        return tuple(sorted(entries))

    return replaced(inclusion.vouched, vouched)


def unsorted_updates() -> AbstractContextManager[None]:
    """Updates count in the order in which they came (against rule P12)."""

    def vouched_headers(
        parent: State, haves: Iterable[Signed[HaveList]], updates: Iterable[Signed[UpdateHeader]]
    ) -> tuple[Signed[UpdateHeader], ...]:
        named = set(inclusion.vouched(haves, parent.validators))
        return tuple(each for each in updates if inclusion.header_key(parent, each) in named)

    return replaced(inclusion.vouched_headers, vouched_headers)


def empty_at_once() -> AbstractContextManager[None]:
    """A block may be EMPTY in view 0 (against rule P15)."""
    return replaced(inclusion.empty_view, lambda _: 0)


def bans_ignored() -> AbstractContextManager[None]:
    """Who is banned goes on voting (against rule P45)."""
    original = evidence.validators_left

    def validators_left(contract: Contract, banned: Iterable[int]) -> list[int]:
        del banned
        return original(contract, ())

    return replaced(original, validators_left)


def no_evidence() -> AbstractContextManager[None]:
    """Proposers leave evidence out of their blocks (against rule P45)."""
    return attribute_replaced(Accusations, "proposable", lambda *_: ())


def no_metrics() -> AbstractContextManager[None]:
    """Proposers leave METRICS out of their blocks (against rule P16)."""
    return attribute_replaced(MetricsPool, "proposable", lambda *_: ())


@contextmanager
def evidence_believed() -> Iterator[None]:
    """The signatures of evidence are not checked (against rule P45)."""

    def believe(message: EvidenceMessage, _: object) -> EvidenceReceived:
        return EvidenceReceived(evidence=message.evidence)

    others = tuple(
        each for each in validity.CHECKS if each.find is not statement_checks.evidence_signatures
    )
    with ExitStack() as stack:
        stack.enter_context(replaced(verification._evidence, believe))
        stack.enter_context(attribute_replaced(validity, "CHECKS", others))
        yield


def cap_by_one() -> AbstractContextManager[None]:
    """The cap is one too high (against rule P41)."""
    original = powers._has_slack

    def has_slack(
        ascending: Sequence[int], below: Sequence[int], budget: int, ceiling: int
    ) -> bool:
        return original(ascending, below, budget, ceiling - 1)

    return replaced(original, has_slack)


def no_tag() -> AbstractContextManager[None]:
    """Signed bytes do not say what kind of statement they are (against rule P3)."""
    return replaced(keys.signing_bytes, lambda statement, chain: chain + fixed_bytes(statement))


def no_chain_id() -> AbstractContextManager[None]:
    """Signed bytes do not say which chain they are for (against rule P3)."""

    def signing_bytes(statement: Statement, _: bytes) -> bytes:
        return domain_tag(statement.TAG) + fixed_bytes(statement)

    return replaced(keys.signing_bytes, signing_bytes)


def root_without_scores() -> AbstractContextManager[None]:
    """The root of a state does not cover the scores (against rule P52)."""
    original = state.state_root
    return replaced(original, lambda of: original(replace(of, scores=())))


def float_mean() -> AbstractContextManager[None]:
    """The mean is computed in 32-bit floating point (against rule P13)."""

    def weighted_mean(
        rows: Sequence[NDArray[np.int32]], weights: Sequence[int]
    ) -> NDArray[np.int32]:
        share = np.array(weights, dtype=np.float32) / np.float32(sum(weights))
        combined = share @ np.stack(rows).astype(np.float32)
        return np.array(np.rint(combined), dtype=np.int32)

    return attribute_replaced(mean, "weighted_mean", weighted_mean)


def one_judges() -> AbstractContextManager[None]:
    """One member's figures make a model the best, or end it (against rule P16)."""
    return replaced(feedback._is_quorum_of, lambda members, _: bool(members))


def mean_for_median() -> AbstractContextManager[None]:
    """The default rule averages whatever is included (against rule P13)."""
    return attribute_replaced(rules, "RULES", dict.fromkeys(rules.RULES, rules.RULES["mean"]))


def garbage_believed() -> AbstractContextManager[None]:
    """A body is vouched for that is no update (against rule P10)."""
    return replaced(blockwork.check_update_body, lambda *_: None)

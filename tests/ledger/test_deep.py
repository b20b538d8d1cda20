"""The deep audit: what is recomputed, what is missing, what differs (rules P13, P54)."""

from dataclasses import replace

import pytest

from ledger.audit import audit
from ledger.audit_report import (
    LIMITS,
    SHOWS_UPDATES,
    AuditReport,
    heights_text,
    report_data,
    report_lines,
)
from ledger.bodies import body_id
from ledger.building import Draft, aggregate_results, build_block, expected_weights
from ledger.deep import DeepOutcome, Weighted, recompute_all
from ledger.errors import DecodeError
from ledger.inclusion import empty_view
from ledger.keys import sign
from ledger.records import BlockKind, Evidence, Flag, Results, UpdateHeader
from ledger.state import State
from tests.support.evidence import proof
from tests.support.feedback import add_judged, judging_network
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    empty_chain,
    genesis,
    have,
    stub_keys,
    update,
)

FIRST_MODEL = b"the initial model"


def sum_of(weighted: Weighted, base: bytes, bodies: tuple[bytes, ...]) -> bytes:
    """The rule of these tests: the next model's body names all that went into it."""
    weights = ",".join(str(weight) for _, weight in weighted)
    return b"|".join((base, weights.encode(), *bodies))


def recompute(
    state: State, weighted: Weighted, base: bytes, bodies: tuple[bytes, ...]
) -> tuple[Results, bytes]:
    if b"unreadable" in b"".join(bodies):
        raise DecodeError("expected a table")
    model = sum_of(weighted, base, bodies)
    flags = [Flag(body.startswith(b"far")) for body in bodies]
    results = aggregate_results(
        weighted, flags, model_id=body_id(model), optimizer_id=state.optimizer_id
    )
    return results, model


class Federation:
    """A chain with real bodies: models follow from updates by `sum_of`."""

    def __init__(self) -> None:
        terms = contract(4)
        model = replace(terms.model, initial_model_id=body_id(FIRST_MODEL))
        self.terms = replace(terms, model=model)
        self.chain: Chain = empty_chain(self.terms, stub_keys(self.terms))
        self.bodies = {body_id(FIRST_MODEL): FIRST_MODEL}
        self.model = FIRST_MODEL

    def train(
        self, *, lie: bytes = b"", prefix: bytes = b"near", evidence: tuple[Evidence, ...] = ()
    ) -> None:
        """Add a training block; with a lie it names a model that does not follow."""
        chain, state = self.chain, self.chain.state
        sent = [prefix + f" {state.height + 1} {i}".encode() for i in range(4)]
        updates = []
        for i, body in enumerate(sent):
            statement = update(self.terms, state, i, chain.keys[i]).statement
            named = replace(statement, update_id=body_id(body))
            assert isinstance(named, UpdateHeader)
            updates.append(sign(named, chain.keys[i], signer=i, chain_id=state.chain_id))
            self.bodies[body_id(body)] = body
        haves = tuple(have(state, i, chain.keys[i], updates) for i in range(4))
        weighted = expected_weights(self.terms, state, haves, updates, evidence)
        sent = [sent[each.statement.trainer] for each, _ in weighted]
        self.model = sum_of(weighted, self.model, tuple(sent)) + lie
        self.bodies[body_id(self.model)] = self.model
        flags = [Flag(body.startswith(b"far")) for body in sent]
        results = aggregate_results(
            weighted, flags, model_id=body_id(self.model), optimizer_id=state.optimizer_id
        )
        draft = Draft(
            view=0,
            kind=BlockKind.AGGREGATE,
            time_ms=state.time_ms + 1,
            haves=haves,
            updates=tuple(updates),
            last_certificate=chain.certificate,
            results=results,
            evidence=evidence,
        )
        chain.add(build_block(self.terms, state, draft))

    def forget_models(self) -> None:
        """Keep the first model and the updates only."""
        models = {block.header.results.model_id for block in self.chain.blocks}
        for each in models - {body_id(FIRST_MODEL)}:
            self.bodies.pop(each)

    def forget_update(self, height: int, trainer: int) -> None:
        self.bodies.pop(self.chain.blocks[height - 1].updates[trainer].statement.update_id)

    def deep(self) -> DeepOutcome:
        return recompute_all(self.terms, self.chain.blocks, self.bodies.get, recompute)

    def report(self) -> AuditReport:
        light = audit(
            genesis(self.terms, self.chain.keys),
            self.chain.blocks,
            self.chain.certificate,
            scheme=STUB_SCHEME,
        )
        assert light.holds
        outcome = self.deep()
        return replace(light, deep=outcome, findings=(*light.findings, *outcome.findings))


@pytest.fixture
def made() -> Federation:
    """Five blocks: three that train, an EMPTY one, and one more that trains."""
    federation = Federation()
    for _ in range(3):
        federation.train()
    chain = federation.chain
    chain.add(chain.build(view=empty_view(federation.terms)))
    federation.train(prefix=b"far")
    return federation


def test_the_update_of_a_member_that_the_block_bans_is_not_recomputed() -> None:
    """Rules P12a and P45: the vouched header is carried, its body does not count."""
    made = Federation()
    made.train(evidence=(proof(made.chain, 3),))
    made.forget_update(1, 3)

    outcome = made.deep()

    assert (outcome.recomputed, outcome.missing, outcome.findings) == ((1,), (), ())


def test_every_training_block_is_recomputed_from_the_first_model_on(made: Federation) -> None:
    made.forget_models()

    outcome = made.deep()

    assert outcome == DeepOutcome(recomputed=(1, 2, 3, 5), missing=(), findings=())


def test_heights_whose_updates_are_missing_are_listed(made: Federation) -> None:
    made.forget_update(2, 3)

    outcome = made.deep()

    assert (outcome.recomputed, outcome.missing) == ((1, 3, 5), (2,))
    assert not outcome.is_complete


def test_without_the_model_between_the_heights_after_a_gap_are_missing_too(
    made: Federation,
) -> None:
    made.forget_models()
    made.forget_update(2, 0)

    assert made.deep().missing == (2, 3, 5)


def test_a_model_that_does_not_follow_is_found_and_the_rest_is_still_checked() -> None:
    made = Federation()
    made.train()
    made.train(lie=b"!")
    made.train()

    outcome = made.deep()

    assert outcome.recomputed == (1, 2, 3)
    assert [(each.height, each.field) for each in outcome.findings] == [(2, "results.model_id")]


def test_a_flag_that_does_not_follow_is_found(made: Federation) -> None:
    blocks = list(made.chain.blocks)
    results = blocks[-1].header.results
    contributions = tuple(replace(each, flagged=Flag.REGULAR) for each in results.contributions)
    header = replace(blocks[-1].header, results=replace(results, contributions=contributions))
    blocks[-1] = replace(blocks[-1], header=header)

    outcome = recompute_all(made.terms, blocks, made.bodies.get, recompute)

    (finding,) = outcome.findings
    assert (finding.height, finding.field) == (5, "results.contributions")


def test_a_body_that_cannot_count_is_a_finding() -> None:
    made = Federation()
    made.train(prefix=b"unreadable")

    (finding,) = made.deep().findings

    assert finding.text == "a body that cannot count: expected a table"


def test_a_whole_deep_audit_drops_the_limit_and_holds(made: Federation) -> None:
    report = made.report()

    lines = report_lines(report)

    assert report.holds
    assert lines[-1] == "every check holds"
    assert "results   recomputed from the updates in 4 training rounds" in lines
    assert f"  - {LIMITS[-1]}" not in lines
    assert f"  - {LIMITS[0]}" in lines
    assert f"note      {SHOWS_UPDATES}" in lines
    assert report_data(report)["recomputed"] == [1, 2, 3, 5]


def test_a_deep_audit_with_gaps_does_not_hold_and_never_says_so(made: Federation) -> None:
    for height in (2, 3):
        made.forget_update(height, 0)
    report = made.report()

    lines = report_lines(report)

    assert not report.holds
    assert lines[-1] == (
        "NOT RECOMPUTED: bodies of heights 2-3 are missing; what was checked holds"
    )
    assert "every check holds" not in lines
    assert f"  - {LIMITS[-1]}" in lines
    assert report_data(report)["missing"] == [2, 3]


def test_a_difference_is_told_as_a_finding() -> None:
    made = Federation()
    made.train(lie=b"!")

    lines = report_lines(made.report())

    assert lines[-1] == "NOT VALID: 1 findings"
    assert any("field results.model_id rule P13: recomputed" in line for line in lines)


def test_heights_are_drawn_together() -> None:
    assert heights_text(()) == ""
    assert heights_text((4,)) == "4"
    assert heights_text((1, 2, 4, 6, 7, 8)) == "1-2, 4, 6-8"


def test_after_a_return_to_the_best_model_the_next_rounds_are_recomputed_from_it() -> None:
    """Rules P16, P54: the base is no longer the last block's model."""
    made = judging_network()
    while not made.state.returns:
        add_judged(made, dict.fromkeys(range(4), -(10**9)))
    made.add(made.build())
    asked: list[bytes] = []

    def body(wanted: bytes) -> bytes:
        asked.append(wanted)
        return wanted

    def claimed(state: State, _weighted: Weighted, base: bytes, _: object) -> tuple[Results, bytes]:
        results = made.blocks[state.height].header.results
        assert base == state.model_id
        return results, results.model_id

    outcome = recompute_all(made.contract, made.blocks, body, claimed)

    assert outcome.recomputed == tuple(range(1, len(made.blocks) + 1))
    initial = made.contract.model.initial_model_id
    assert asked.count(initial) == 2

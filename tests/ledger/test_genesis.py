"""Contracts, consents, and what a contract tolerates (rules P1, P15, P83)."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from ledger.encoding import MESSAGE_BYTES_MAX, decode, encode
from ledger.errors import ContractError
from ledger.evidence import make_evidence
from ledger.genesis import (
    RULE_IDS,
    Continues,
    Contract,
    Feature,
    FounderSignature,
    Genesis,
    Role,
    RuleParameter,
    chain_id,
    public_keys,
    updates_needed,
)
from ledger.genesis_rules import (
    FaultTolerance,
    block_bytes_bound,
    check_consents,
    check_contract,
    check_genesis,
    fault_tolerance,
)
from ledger.metrics import METRIC_MAX
from ledger.operations import (
    OPERATIONS_MAX,
    Agreed,
    ChangeTerms,
    contract_hash,
    operation_id,
    terms_of,
    with_terms,
)
from ledger.records import EVIDENCE_MAX, Evidence, HaveEntry, HaveList
from ledger.tensors import TensorSpec
from ledger.validity import check_block
from tests.support.evidence import signed
from tests.support.feedback import FEEDBACK, report, with_feedback
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    digest,
    genesis,
    keys,
    stub_chain,
    with_roles,
)
from tests.support.members import agreed, carrying

TERMS = contract(4)


def member(number: int, **changes: object) -> Callable[[Contract], Contract]:
    def change(of: Contract) -> Contract:
        members = list(of.members)
        members[number] = replace(members[number], **changes)  # type: ignore[arg-type]  # by name
        return replace(of, members=tuple(members))

    return change


def part(name: str, **changes: object) -> Callable[[Contract], Contract]:
    return lambda of: replace(of, **{name: replace(getattr(of, name), **changes)})


def terms(**changes: object) -> Callable[[Contract], Contract]:
    return lambda of: replace(of, **changes)  # type: ignore[arg-type]  # by name


def tensors(*shapes: tuple[int, ...], exponent: int = 16) -> Callable[[Contract], Contract]:
    table = tuple(
        TensorSpec(name=f"t{i}", shape=shape, exponent=exponent) for i, shape in enumerate(shapes)
    )
    return part("model", tensors=table)


BROKEN: tuple[tuple[Callable[[Contract], Contract], str], ...] = (
    (terms(version=2), "version: expected 1, got 2"),
    (terms(members=()), "expected at least one validator, got none"),
    (member(1, name="hospital-0"), "name: expected distinct ones, got hospital-0 2 times"),
    (member(1, name=""), r"members\[1\] \(\): expected a name"),
    (member(1, public_key=TERMS.members[0].public_key), "public key: expected distinct ones"),
    (member(1, roles=0), r"members\[1\] \(hospital-1\): expected roles .* got 0"),
    (member(1, roles=8), "expected roles of trainer, validator, hold-out, got 8"),
    (member(1, samples=0), "expected a trainer to have samples, got 0"),
    (member(1, samples=2**32), "expected at most 4294967295 samples, got 4294967296"),
    (
        lambda of: with_roles(of, dict.fromkeys(range(4), Role.TRAINER)),
        "expected at least one validator, got none",
    ),
    (terms(byzantine_budget=2), "byzantine_budget: expected at most 1 of 4 validators, got 2"),
    (
        lambda of: with_roles(of, {3: Role.TRAINER}),
        "byzantine_budget: expected at most 0 of 3 validators, got 1",
    ),
    (terms(min_updates=0), "min_updates: expected at least 1, got 0"),
    (terms(min_updates=5), "training needs 5 updates .* but there are 4 trainers"),
    (terms(trainer_budget=2), "training needs 5 updates"),
    (
        lambda of: with_roles(of, {0: Role.VALIDATOR, 1: Role.VALIDATOR}),
        "training needs 3 updates .* but there are 2 trainers",
    ),
    (terms(training_rounds=0), "training_rounds: expected at least 1, got 0"),
    (terms(privacy="dp"), "privacy: expected 'none', got 'dp'"),
    (part("aggregation", mode="grouped"), "aggregation.mode: expected 'robust', got 'grouped'"),
    (
        part("aggregation", rule_id="median"),
        "aggregation.rule_id: expected a rule of .*, got 'median'",
    ),
    (
        part("aggregation", parameters=(RuleParameter(name="f", value=-1),)),
        r"aggregation.parameters\[f\]: expected 0 or more, got -1",
    ),
    (
        part("aggregation", parameters=(RuleParameter(name="k", value=1),) * 2),
        "aggregation.parameters: name: expected distinct ones, got k 2 times",
    ),
    (part("model", architecture=""), "model.architecture: expected a name"),
    (tensors(), "expected at least one tensor, got none"),
    (tensors((3, 0)), r"model.tensors\[t0\]: expected elements, got shape \(3, 0\)"),
    (tensors((3,), exponent=101), "expected an exponent of at most 100, got 101"),
    (tensors((2**31,), (1,)), "expected at most 2147483648 values, got 2147483649"),
    (
        part("model", tensors=(TERMS.model.tensors[0],) * 2),
        "model.tensors: name: expected distinct ones, got weight 2 times",
    ),
    (part("training", learning_rate="fast"), "training.learning_rate: .* got 'fast'"),
    (part("training", learning_rate=""), "training.learning_rate: expected a finite decimal"),
    (part("training", learning_rate="1e999"), "got '1e999'"),
    (part("training", momentum="nan"), "training.momentum: .* got 'nan'"),
    (part("training", worker_momentum="inf"), "training.worker_momentum: .* got 'inf'"),
    (part("training", momentum=" 0.9"), "training.momentum"),
    (part("training", momentum="1_0"), "training.momentum"),
    (part("training", momentum="\u0661"), "training.momentum"),
    (part("training", optimizer=""), "training.optimizer: expected a name"),
    (part("training", batch_size=0), "training.batch_size: expected at least 1"),
    (part("training", local_steps=0), "training.local_steps: expected at least 1"),
    (
        part("data", features=(Feature(name="age", mean="0", scale="1"),) * 2),
        "data.features: name: expected distinct ones, got age 2 times",
    ),
    (part("data", features=(Feature(name="age", mean="x", scale="1"),)), r"\[age\].mean"),
    (part("data", features=(Feature(name="age", mean="0", scale="x"),)), r"\[age\].scale"),
    (
        part("data", features=(Feature(name="age", mean="0", scale="0.0"),)),
        r"data.features\[age\].scale: expected more than 0, got 0.0",
    ),
    (
        lambda of: with_roles(of, {0: Role.TRAINER | Role.VALIDATOR | Role.HOLD_OUT}),
        "feedback: expected terms, because a member has a hold-out, got none",
    ),
    (
        lambda of: with_roles(with_feedback(of, [0]), {0: Role.TRAINER | Role.HOLD_OUT}),
        "expected a member with a hold-out to be a validator, it is none",
    ),
    (lambda of: with_feedback(of, [0], metric=""), "feedback.metric: expected a name"),
    (lambda of: with_feedback(of, [0], hold_out=0), "feedback.hold_out: expected more than 0"),
    (lambda of: with_feedback(of, [], hold_out=10**6), "feedback.hold_out: .* got 1000000"),
    (lambda of: with_feedback(of, [0], patience=0), "feedback.patience: expected 1 to 16 models"),
    (lambda of: with_feedback(of, [0], patience=17), "feedback.patience: .* got 17"),
    (lambda of: with_feedback(of, [], tolerance=2**60), "feedback.tolerance: expected at most"),
    (part("timeouts", collect_ms=70_000), "collect_max_ms: expected 70000 or more"),
    (part("timeouts", view_max_ms=1), "view_max_ms: expected 3000 or more"),
    (part("limits", body_bytes_max=10), "limits.body_bytes_max: an update has .*, got 10"),
    (part("limits", block_bytes_max=0), "limits.block_bytes_max: expected 1 to"),
    (
        part("limits", block_bytes_max=MESSAGE_BYTES_MAX + 1),
        f"limits.block_bytes_max: expected 1 to {MESSAGE_BYTES_MAX}",
    ),
)


@pytest.mark.parametrize(("change", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_terms_that_cannot_hold_are_refused_with_their_reason(
    change: Callable[[Contract], Contract], reason: str
) -> None:
    with pytest.raises(ContractError, match=reason):
        check_contract(change(TERMS))


@pytest.mark.parametrize("name", [field.name for field in fields(TERMS.timeouts)])
def test_every_wait_is_positive(name: str) -> None:
    """Rule P93."""
    with pytest.raises(ContractError, match=f"timeouts.{name}: expected at least 1 ms, got 0"):
        check_contract(part("timeouts", **{name: 0})(TERMS))


def test_all_problems_of_a_contract_are_named_at_once() -> None:
    with pytest.raises(ContractError) as caught:
        check_contract(replace(TERMS, version=9, min_updates=9, privacy="other"))

    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "version",
        "training needs 9 updates (min_updates 9, trainer_budget 1), but there are 4 trainers",
        "privacy",
    ]


@pytest.mark.parametrize("n", range(1, 11))
def test_contracts_of_any_size_with_the_default_budgets_hold(n: int) -> None:
    made = genesis(contract(n), keys(n))

    check_genesis(made)
    assert decode(Genesis, encode(made)) == made


@pytest.mark.parametrize("number", ["0", "-0.5", "1e-3", "1E+2", "12.50", "0.1"], ids=str)
def test_decimal_text_in_plain_or_scientific_form_is_a_number(number: str) -> None:
    check_contract(part("training", momentum=number)(TERMS))


def test_the_chain_id_covers_every_term_and_no_signature() -> None:
    """Rule P1."""
    earlier = Continues(
        chain_id=digest("chain"), height=1, block_id=digest("block"), model_id=digest("model")
    )
    changes: dict[str, object] = {
        "members": TERMS.members[1:],
        "feedback": FEEDBACK,
        "continues": (earlier,),
    }
    ids = {chain_id(TERMS)}
    for field in fields(Contract):
        value = getattr(TERMS, field.name)
        if field.name in {"model", "data", "training", "aggregation", "timeouts", "limits"}:
            first = fields(value)[0].name
            old = getattr(value, first)
            value = replace(value, **{first: old + 1 if isinstance(old, int) else old[:-1]})
        else:
            value = changes.get(field.name, value + 1 if isinstance(value, int) else "other")
        ids.add(chain_id(replace(TERMS, **{field.name: value})))

    assert len(ids) == 1 + len(fields(Contract))


def test_every_founder_consents_in_member_order() -> None:
    """Rule P1."""
    good = genesis(TERMS, keys(4))
    first, second, *rest = good.signatures
    swapped = replace(first, member=1), replace(second, member=0)

    check_consents(good)
    for signatures in (good.signatures[:-1], (second, first, *rest), (first, *good.signatures)):
        with pytest.raises(ContractError, match="one signature of each of the 4 members, in order"):
            check_genesis(replace(good, signatures=tuple(signatures)))
    with pytest.raises(ContractError, match=r"of member 0 \(hospital-0\) is not under this"):
        check_genesis(replace(good, signatures=(swapped[1], swapped[0], *rest)))


def test_a_consent_to_other_terms_is_none() -> None:
    good = genesis(TERMS, keys(4))
    other = replace(TERMS, min_updates=4)

    with pytest.raises(ContractError, match="member 0"):
        check_genesis(replace(good, contract=other))
    forged = FounderSignature(member=3, signature=bytes(64))
    with pytest.raises(ContractError, match="member 3"):
        check_genesis(replace(good, signatures=(*good.signatures[:3], forged)))


def test_a_genesis_with_terms_that_cannot_hold_is_refused_though_all_consent() -> None:
    broken = replace(TERMS, privacy="dp")

    with pytest.raises(ContractError, match="privacy"):
        check_genesis(genesis(broken, keys(4)))
    check_consents(genesis(broken, keys(4)))


@pytest.mark.parametrize(("n", "silent"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (9, 2), (10, 3)])
def test_silent_validators_of_each_size(n: int, silent: int) -> None:
    """Rule P83."""
    assert fault_tolerance(contract(n)).silent_validators == silent
    assert fault_tolerance(contract(n, byzantine_budget=0)).silent_validators == silent


def test_a_budget_below_a_third_promises_only_that_many() -> None:
    """Rule P41: with unequal powers two of ten may hold a third."""
    assert fault_tolerance(contract(10, byzantine_budget=1)).silent_validators == 1


def test_three_numbers_of_a_contract() -> None:
    """Rule P83."""
    assert fault_tolerance(contract(7)) == FaultTolerance(
        silent_validators=2, silent_trainers=2, lying_trainers=2
    )
    assert fault_tolerance(replace(contract(4), min_updates=4)) == FaultTolerance(
        silent_validators=1, silent_trainers=0, lying_trainers=1
    )


def test_plain_questions_to_a_contract() -> None:
    mixed = with_roles(TERMS, {3: Role.VALIDATOR})

    assert (TERMS.n_trainers, mixed.n_trainers) == (4, 3)
    assert updates_needed(TERMS) == 3
    assert public_keys(TERMS) == tuple(key.public_key for key in keys(4))
    assert TERMS.model.n_elements == 8
    assert (mixed.members[3].is_trainer, mixed.members[3].is_validator) == (False, True)


def full_haves(made: Chain, member: int) -> Evidence:
    """The longest evidence: two HAVE lists of everybody's updates."""
    one, other = (
        HaveList(
            height=made.state.height + 1,
            entries=tuple(
                HaveEntry(trainer=each, header_digest=digest(f"{salt} {each}"))
                for each in range(len(made.contract.members))
            ),
        )
        for salt in ("one", "other")
    )
    return make_evidence(signed(made, member, one), signed(made, member, other))


def longest_changes(made: Chain) -> tuple[Agreed, ...]:
    """As many changes of the terms as fit, each of what the one before it leads to."""
    meant, last, found = made.in_force, b"", []
    for number in range(OPERATIONS_MAX):
        parameters = tuple(
            RuleParameter(name=f"{number} {i}".ljust(64, "x"), value=-(2**62)) for i in range(16)
        )
        aggregation = replace(
            meant.aggregation, rule_id=max(RULE_IDS, key=len), parameters=parameters
        )
        terms = replace(terms_of(meant), aggregation=aggregation)
        operation = ChangeTerms(contract_hash=contract_hash(meant), terms=terms, expiry=4)
        while operation_id(operation, made.state.chain_id) <= last:
            operation = replace(operation, expiry=operation.expiry + 1)
        last, meant = operation_id(operation, made.state.chain_id), with_terms(meant, terms)
        found.append(agreed(made, operation))
    return tuple(found)


@pytest.mark.parametrize("n", [4, 7, 20])
def test_no_block_is_larger_than_its_bound_and_the_bound_is_close(n: int) -> None:
    made = stub_chain(3, of=with_feedback(contract(n), range(n)))
    convicted = range(min(EVIDENCE_MAX, n - 1))
    evidence = tuple(full_haves(made, each) for each in convicted)
    metrics = tuple(
        report(made, member, value=-METRIC_MAX, best_value=METRIC_MAX, model=model)
        for model in made.state.judged
        for member in range(n)
    )
    plain = made.build(evidence=evidence, metrics=metrics)
    block = carrying(made, longest_changes(made), block=plain)
    assert check_block(made.contract, made.state, block, scheme=STUB_SCHEME) == ()
    made.add(block)

    sizes = [len(encode(block)) for block in made.blocks]

    assert max(sizes) <= block_bytes_bound(made.contract) <= 1.5 * max(sizes) + 1_500


def test_lists_in_evidence_may_name_everybody_where_few_train() -> None:
    """They can be of a height at which others trained, too (rule P45)."""
    few = dict.fromkeys(range(3, 20), Role.VALIDATOR)
    made = stub_chain(3, of=with_roles(contract(20, trainer_budget=0), few))
    evidence = tuple(full_haves(made, each) for each in range(EVIDENCE_MAX))
    block = carrying(made, longest_changes(made), block=made.build(evidence=evidence))
    assert check_block(made.contract, made.state, block, scheme=STUB_SCHEME) == ()

    assert len(encode(block)) <= block_bytes_bound(made.contract)


def test_a_liar_may_have_three_headers_vouched_for_whatever_the_trainer_budget() -> None:
    terms = contract(7, trainer_budget=0)
    bolder = replace(terms, trainer_budget=terms.byzantine_budget)

    assert terms.byzantine_budget == 2
    assert block_bytes_bound(terms) == block_bytes_bound(bolder)


def test_a_network_whose_blocks_do_not_fit_is_refused() -> None:
    terms = contract(60)
    tight = replace(terms, limits=replace(terms.limits, block_bytes_max=100_000))

    with pytest.raises(ContractError, match=r"a block of so many takes up to \d+ bytes"):
        check_contract(tight)

"""Forged blocks, each of which exactly one numbered check of `ledger.validity` finds.

The forger knows all rules and owns all keys: every root is recomputed and every signature is
valid, except where the forgery is about just that.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ledger.building import unchanged_results
from ledger.genesis import Role
from ledger.keys import Signed, sign
from ledger.records import (
    Block,
    BlockHeader,
    BlockKind,
    Contribution,
    Flag,
    HaveEntry,
    HaveList,
    Phase,
    QuorumCertificate,
    UpdateHeader,
    Vote,
    block_id,
)
from tests.support.bad_evidence import BAD_EVIDENCE, with_evidence
from tests.support.bad_metrics import BAD_METRICS, with_metrics
from tests.support.bad_operations import BAD_OPERATIONS, before_admission
from tests.support.feedback import with_feedback
from tests.support.ledger import (
    Chain,
    contract,
    digest,
    empty_chain,
    have,
    stub_chain,
    stub_keys,
    update,
    with_roles,
)
from tests.support.sealing import reseal

Forge = Callable[[Chain], Block]
BAD_SIGNATURE = bytes(64)


def forgers_network() -> Chain:
    """Four validators that train, three of them with a hold-out, a member that only trains."""
    terms = with_roles(contract(5, trainer_budget=1, training_rounds=100), {4: Role.TRAINER})
    return stub_chain(3, of=with_feedback(terms, range(3)))


def sealed(made: Chain, block: Block, **header: object) -> Block:
    """The block with changed header fields, and all that follows from them recomputed."""
    changed = replace(block, header=replace(block.header, **header))  # type: ignore[arg-type]
    return reseal(made.contract, made.state, changed)


def overwritten(block: Block, **header: object) -> Block:
    """The block with changed header fields and nothing else."""
    return replace(block, header=replace(block.header, **header))  # type: ignore[arg-type]


def field(name: str, value: Callable[[Chain, BlockHeader], object]) -> Forge:
    return lambda made: sealed(made, made.build(), **{name: value(made, made.build().header)})


def root_field(name: str) -> Forge:
    return lambda made: overwritten(made.build(), **{name: digest("other")})


def empty_of_a_healthy_height(made: Chain) -> Block:
    state = made.state
    return sealed(
        made,
        made.build(),
        kind=BlockKind.EMPTY,
        training_round=state.training_round,
        results=unchanged_results(state),
    )


def late_empty(made: Chain) -> Block:
    return made.build(view=4)


def aggregate_of_too_few(made: Chain) -> Block:
    block = made.build(trainers=[0, 1])
    contributions = tuple(
        Contribution(trainer=each, weight=1, flagged=Flag.REGULAR) for each in (0, 1)
    )
    return sealed(
        made,
        block,
        kind=BlockKind.AGGREGATE,
        training_round=made.state.training_round + 1,
        results=replace(block.header.results, contributions=contributions),
    )


def late_empty_with_haves(made: Chain) -> Block:
    carried = made.build()
    block = replace(late_empty(made), haves=carried.haves, updates=carried.updates)
    return sealed(made, block)


def early_empty_without_haves(made: Chain) -> Block:
    block = made.build(trainers=[])
    return sealed(made, replace(block, haves=()))


def without_quorum(made: Chain) -> Block:
    block = made.build()
    return sealed(made, replace(block, haves=block.haves[:2]))


def haves_replaced(
    change: Callable[[Chain, tuple[Signed[HaveList], ...]], tuple[Signed[HaveList], ...]],
) -> Forge:
    def forge(made: Chain) -> Block:
        block = made.build()
        return sealed(made, replace(block, haves=change(made, block.haves)))

    return forge


def have_of_a_trainer(
    made: Chain, haves: tuple[Signed[HaveList], ...]
) -> tuple[Signed[HaveList], ...]:
    return (*haves, have(made.state, 4, made.keys[4], made.build().updates))


def have_of_another_height(
    made: Chain, haves: tuple[Signed[HaveList], ...]
) -> tuple[Signed[HaveList], ...]:
    old = replace(haves[2].statement, height=made.state.height)
    signed = sign(old, made.keys[2], signer=2, chain_id=made.state.chain_id)
    return (*haves[:2], signed, haves[3])


def have_of_too_many(
    made: Chain, haves: tuple[Signed[HaveList], ...]
) -> tuple[Signed[HaveList], ...]:
    """One more than the five that train; nobody else lists what it adds."""
    strangers = tuple(
        HaveEntry(trainer=5 + i, header_digest=digest("nothing"))
        for i in range(6 - len(haves[2].statement.entries))
    )
    more = replace(haves[2].statement, entries=(*haves[2].statement.entries, *strangers))
    signed = sign(more, made.keys[2], signer=2, chain_id=made.state.chain_id)
    return (*haves[:2], signed, haves[3])


def updates_replaced(
    change: Callable[[Chain, tuple[Signed[UpdateHeader], ...]], tuple[Signed[UpdateHeader], ...]],
) -> Forge:
    def forge(made: Chain) -> Block:
        block = made.build(trainers=range(4))
        return sealed(made, replace(block, updates=change(made, block.updates)))

    return forge


def missing_header(made: Chain) -> Block:
    """Censorship: one vouched header is not carried, and the rest is consistent without it."""
    fewer, full = made.build(trainers=range(4)), made.build()
    return sealed(made, replace(fewer, haves=full.haves))


def contributions_replaced(
    change: Callable[[tuple[Contribution, ...]], tuple[Contribution, ...]],
) -> Forge:
    def forge(made: Chain) -> Block:
        block = made.build(trainers=range(4))
        results = block.header.results
        return sealed(
            made, block, results=replace(results, contributions=change(results.contributions))
        )

    return forge


def empty_with(**results: object) -> Forge:
    def forge(made: Chain) -> Block:
        block = made.build(trainers=[0])
        changed = replace(block.header.results, **results)  # type: ignore[arg-type]  # by name
        return sealed(made, block, results=changed)

    return forge


def certificate_replaced(
    change: Callable[[Chain, QuorumCertificate], tuple[QuorumCertificate, ...]],
) -> Forge:
    def forge(made: Chain) -> Block:
        block = made.build()
        return sealed(
            made, replace(block, last_certificate=change(made, block.last_certificate[0]))
        )

    return forge


def signed_by(made: Chain, vote: Vote, members: range) -> tuple[QuorumCertificate, ...]:
    """A certificate for any vote, whose signatures are all valid."""
    signatures = tuple(
        sign(vote, made.keys[i], signer=i, chain_id=made.state.chain_id).signature for i in members
    )
    certificate = QuorumCertificate(
        phase=vote.phase,
        height=vote.height,
        view=vote.view,
        valid_view=vote.valid_view,
        block_id=vote.block_id,
        bitmap=bytes([(1 << len(members)) - 1]),
        signatures=signatures,
    )
    return (certificate,)


def other_vote(**fields: object) -> Forge:
    return certificate_replaced(
        lambda made, certificate: signed_by(
            made,
            replace(certificate.vote, **fields),  # type: ignore[arg-type]  # by name
            range(4),
        )
    )


def certificate_of_an_earlier_view(made: Chain) -> Block:
    made.add(made.build(view=3), view=2)
    return made.build()


def after_the_last_training_round(made: Chain) -> Block:
    """The third block closes training; there is none after it."""
    terms = replace(made.contract, training_rounds=2)
    finished = empty_chain(terms, stub_keys(terms))
    for _ in range(4):
        finished.add(finished.build())
    made.contract, made.states = terms, finished.states[:4]
    return finished.blocks[3]


@dataclass(frozen=True, kw_only=True)
class BadBlock:
    """A forged block and the number of the one check that finds it."""

    check: int
    desc: str
    forge: Forge


def table(*rows: tuple[int, str, Forge]) -> list[BadBlock]:
    return [BadBlock(check=check, desc=desc, forge=forge) for check, desc, forge in rows]


BAD_BLOCKS = table(
    (1, "version", field("version", lambda _, header: header.version + 1)),
    (2, "chain", field("chain_id", lambda _, __: digest("another chain"))),
    (3, "height", field("height", lambda _, header: header.height + 1)),
    (4, "parent", field("parent_id", lambda made, _: block_id(made.blocks[0].header))),
    (5, "time stands still", field("time_ms", lambda made, _: made.state.time_ms)),
    (5, "time goes back", field("time_ms", lambda _, __: 0)),
    (6, "beyond the last training round", after_the_last_training_round),
    (7, "EMPTY although enough are included", empty_of_a_healthy_height),
    (7, "AGGREGATE of too few", aggregate_of_too_few),
    (8, "training round", field("training_round", lambda _, header: header.training_round + 1)),
    (9, "proposer", field("proposer", lambda _, header: (header.proposer + 1) % 4)),
    (9, "proposer without power", field("proposer", lambda _, __: 4)),
    (10, "rule", field("rule_id", lambda _, __: "another rule")),
    (10, "rule parameters", field("rule_parameters_hash", lambda _, __: digest("terms"))),
    (11, "base model", field("base_model_id", lambda made, _: made.states[0].model_id)),
    (12, "HAVE twice", haves_replaced(lambda _, haves: (*haves, haves[3]))),
    (12, "HAVEs out of order", haves_replaced(lambda _, haves: haves[::-1])),
    (12, "HAVE of a member without power", haves_replaced(have_of_a_trainer)),
    (13, "HAVE of another height", haves_replaced(have_of_another_height)),
    (13, "HAVE of more updates than there are trainers", haves_replaced(have_of_too_many)),
    (
        14,
        "HAVE not signed",
        haves_replaced(lambda _, haves: (replace(haves[0], signature=BAD_SIGNATURE), *haves[1:])),
    ),
    (15, "no quorum of HAVEs", without_quorum),
    (15, "early EMPTY without HAVEs", early_empty_without_haves),
    (15, "late EMPTY with HAVEs", late_empty_with_haves),
    (16, "vouched header missing", missing_header),
    (
        16,
        "header that nobody vouched for",
        updates_replaced(
            lambda made, updates: (*updates, update(made.contract, made.state, 4, made.keys[4]))
        ),
    ),
    (16, "headers out of order", updates_replaced(lambda _, updates: updates[::-1])),
    (16, "header twice", updates_replaced(lambda _, updates: (*updates, updates[3]))),
    (
        17,
        "header not signed",
        updates_replaced(
            lambda _, updates: (replace(updates[0], signature=BAD_SIGNATURE), *updates[1:])
        ),
    ),
    (
        17,
        "header that names another signer",
        updates_replaced(lambda _, updates: (replace(updates[0], signer=1), *updates[1:])),
    ),
    (
        17,
        "header signed by another member",
        updates_replaced(
            lambda made, updates: (
                sign(updates[0].statement, made.keys[1], signer=1, chain_id=made.state.chain_id),
                *updates[1:],
            )
        ),
    ),
    (18, "included trainer left out", contributions_replaced(lambda all_: all_[1:])),
    (
        18,
        "trainer put in",
        contributions_replaced(
            lambda all_: (*all_, Contribution(trainer=4, weight=1, flagged=Flag.REGULAR))
        ),
    ),
    (18, "contributions out of order", contributions_replaced(lambda all_: all_[::-1])),
    (
        18,
        "contribution to an EMPTY block",
        empty_with(contributions=(Contribution(trainer=3, weight=1, flagged=Flag.REGULAR),)),
    ),
    (
        19,
        "weight",
        contributions_replaced(
            lambda all_: (replace(all_[0], weight=all_[0].weight + 1), *all_[1:])
        ),
    ),
    (20, "EMPTY with another model", empty_with(model_id=digest("another model"))),
    (20, "EMPTY with another optimizer", empty_with(optimizer_id=digest("another state"))),
    (21, "root of headers", root_field("updates_root")),
    (21, "root of HAVEs", root_field("haves_root")),
    (21, "root of evidence", root_field("evidence_root")),
    (21, "root of METRICS", root_field("metrics_root")),
    (22, "root of operations", root_field("operations_root")),
    (23, "no last certificate", certificate_replaced(lambda _, __: ())),
    (24, "hash of the last certificate", root_field("last_certificate_hash")),
    (25, "certificate of PREPARE", other_vote(phase=Phase.PREPARE)),
    (25, "certificate of another height", other_vote(height=2)),
    (25, "certificate of another block", other_vote(block_id=digest("another block"))),
    (25, "certificate for nil", other_vote(block_id=b"")),
    (26, "certificate of an earlier view", certificate_of_an_earlier_view),
    (
        27,
        "certificate of half the power",
        certificate_replaced(lambda made, certificate: signed_by(made, certificate.vote, range(2))),
    ),
    (
        27,
        "certificate with a bad signature",
        certificate_replaced(
            lambda _, certificate: (
                replace(certificate, signatures=(BAD_SIGNATURE, *certificate.signatures[1:])),
            )
        ),
    ),
    (28, "validators", root_field("validators_hash")),
    (29, "next validators", root_field("next_validators_hash")),
    (30, "state", root_field("state_root")),
    (31, "log", root_field("log_root")),
    *((check, f"evidence: {desc}", with_evidence(forge)) for check, desc, forge in BAD_EVIDENCE),
    *((check, f"METRICS: {desc}", with_metrics(forge)) for check, desc, forge in BAD_METRICS),
    (44, "evidence: a height before the admission", with_evidence(before_admission)),
    *((check, f"operation: {desc}", forge) for check, desc, forge in BAD_OPERATIONS),
)

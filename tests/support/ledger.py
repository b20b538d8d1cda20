"""Builders of keys, contracts, signed statements, blocks and whole chains for all tests.

Everything is a function of its arguments: the same call gives the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ledger.bodies import model_id
from ledger.building import (
    Draft,
    aggregate_results,
    build_block,
    expected_weights,
    unchanged_results,
)
from ledger.certificates import make_certificate
from ledger.genesis import (
    CONTRACT_VERSION,
    NO_FEEDBACK,
    AggregationTerms,
    Contract,
    DataTerms,
    Feature,
    FounderSignature,
    Genesis,
    Limits,
    Member,
    ModelTerms,
    Role,
    RuleParameter,
    Timeouts,
    TrainingTerms,
    consent_bytes,
)
from ledger.inclusion import empty_view, expected_kind, opens_for_training
from ledger.keys import Key, SecretKey, SignatureScheme, Signed, sign
from ledger.membership import contract_in_force
from ledger.metrics import MetricsReport
from ledger.powers import ValidatorSet, cap_budget
from ledger.records import (
    FRESH,
    Block,
    BlockKind,
    Codec,
    Evidence,
    Flag,
    HaveEntry,
    HaveList,
    Phase,
    QuorumCertificate,
    UpdateHeader,
    Vote,
    block_id,
    header_digest,
)
from ledger.state import State, apply, initial_state
from ledger.tensors import TensorSpec

DEFAULT_SEED = 7
BLOCK_MS = 1_000
TENSORS = (
    TensorSpec(name="weight", shape=(3, 2), exponent=16),
    TensorSpec(name="bias", shape=(2,), exponent=16),
)


class StubKey:
    """A key whose signatures are hashes: fast, for tests that are not about signatures."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key

    def sign(self, message: bytes) -> bytes:
        return _stub_signature(self.public_key, message)


class StubScheme:
    """Checks the signatures of `StubKey`."""

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return signature == _stub_signature(public_key, message)


STUB_SCHEME: SignatureScheme = StubScheme()


def _stub_signature(public_key: bytes, message: bytes) -> bytes:
    return sha256(public_key + message).digest() * 2


def keys(n: int, seed: int = DEFAULT_SEED) -> tuple[SecretKey, ...]:
    """Ed25519 keys of `n` members."""
    return tuple(SecretKey(sha256(f"key {seed} {i}".encode()).digest()) for i in range(n))


def stub_keys(of: Contract) -> tuple[StubKey, ...]:
    """Fast keys for the same public keys; use with `STUB_SCHEME`."""
    return tuple(StubKey(member.public_key) for member in of.members)


def members(
    n: int, seed: int = DEFAULT_SEED, *, samples: Sequence[int] | None = None
) -> tuple[Member, ...]:
    """`n` members that all train and vote, with 100 to 355 samples each unless told."""
    counts = samples or [100 + digest(f"samples {seed} {i}")[0] for i in range(n)]
    return tuple(
        Member(
            name=f"hospital-{i}",
            public_key=key.public_key,
            roles=int(Role.TRAINER | Role.VALIDATOR),
            samples=counts[i],
        )
        for i, key in enumerate(keys(n, seed))
    )


def contract(
    n: int = 4,
    *,
    seed: int = DEFAULT_SEED,
    byzantine_budget: int | None = None,
    trainer_budget: int | None = None,
    samples: Sequence[int] | None = None,
    training_rounds: int = 1_000_000,
) -> Contract:
    """A valid contract of `n` members; change other terms by `dataclasses.replace`."""
    budget = cap_budget(n, n) if byzantine_budget is None else byzantine_budget
    lying = min(budget, cap_budget(n, n)) if trainer_budget is None else trainer_budget
    return Contract(
        version=CONTRACT_VERSION,
        name="test network",
        members=members(n, seed, samples=samples),
        model=model_terms(TENSORS),
        data=DataTerms(
            label="outcome",
            positive="yes",
            features=(Feature(name="age", mean="61.5", scale="9.25"),),
        ),
        training=TrainingTerms(
            optimizer="sgd",
            learning_rate="0.1",
            momentum="0.9",
            worker_momentum="0.9",
            batch_size=8,
            local_steps=10,
            seed=seed,
            learner_hash=digest("learner"),
        ),
        aggregation=AggregationTerms(
            mode="robust",
            rule_id="mean",
            parameters=(RuleParameter(name="iterations", value=8),),
        ),
        feedback=NO_FEEDBACK,
        privacy="none",
        byzantine_budget=budget,
        trainer_budget=lying,
        min_updates=1,
        max_staleness=1,
        training_rounds=training_rounds,
        timeouts=Timeouts(
            collect_ms=5_000,
            collect_max_ms=60_000,
            have_grace_ms=200,
            propose_ms=3_000,
            prepare_ms=1_000,
            commit_ms=1_000,
            view_max_ms=60_000,
            rebroadcast_ms=1_000,
            clock_window_ms=10_000,
        ),
        limits=Limits(body_bytes_max=2**20, block_bytes_max=2**22),
    )


def model_terms(tensors: tuple[TensorSpec, ...]) -> ModelTerms:
    """A model that starts from zeros."""
    n_elements = sum(tensor.size for tensor in tensors)
    return ModelTerms(
        architecture="softmax",
        tensors=tensors,
        initial_seed=1,
        initial_model_id=model_id(tensors, bytes(4 * n_elements)),
    )


def with_roles(of: Contract, roles: Mapping[int, Role]) -> Contract:
    """The contract with other roles for some members."""
    changed = [
        replace(member, roles=int(roles.get(i, Role(member.roles))))
        for i, member in enumerate(of.members)
    ]
    return replace(of, members=tuple(changed))


def genesis(of: Contract, signing: Sequence[Key]) -> Genesis:
    """The genesis that all members signed."""
    message = consent_bytes(of)
    return Genesis(
        contract=of,
        signatures=tuple(
            FounderSignature(member=i, signature=key.sign(message)) for i, key in enumerate(signing)
        ),
    )


def digest(text: str) -> bytes:
    """32 bytes that stand for something."""
    return sha256(text.encode()).digest()


def update(of: Contract, state: State, trainer: int, key: Key) -> Signed[UpdateHeader]:
    """A good update header of a trainer for the height after `state`."""
    header = UpdateHeader(
        trainer=trainer,
        height=state.height + 1,
        training_round=state.training_round + 1,
        base_model_id=state.model_id,
        update_id=digest(f"update {state.height + 1} {trainer}"),
        codec=Codec.INT32,
        n_elements=of.model.n_elements,
        releases=1,
    )
    return sign(header, key, signer=trainer, chain_id=state.chain_id)


def have(
    state: State, validator: int, key: Key, held: Iterable[Signed[UpdateHeader]]
) -> Signed[HaveList]:
    """A validator's HAVE list of the updates that it holds."""
    ordered = sorted(held, key=lambda each: each.statement.trainer)
    entries = tuple(
        HaveEntry(
            trainer=each.statement.trainer,
            header_digest=header_digest(each.statement, state.chain_id),
        )
        for each in ordered
    )
    statement = HaveList(height=state.height + 1, entries=entries)
    return sign(statement, key, signer=validator, chain_id=state.chain_id)


def commits(
    block: Block, signing: Mapping[int, Key], *, view: int | None = None
) -> tuple[Signed[Vote], ...]:
    """COMMIT votes for a block, in its created view unless told."""
    vote = Vote(
        phase=Phase.COMMIT,
        height=block.header.height,
        view=block.header.created_view if view is None else view,
        valid_view=FRESH,
        block_id=block_id(block.header),
    )
    chain_id = block.header.chain_id
    return tuple(sign(vote, key, signer=i, chain_id=chain_id) for i, key in signing.items())


def certify(
    block: Block,
    validators: ValidatorSet,
    signing: Mapping[int, Key],
    *,
    view: int | None = None,
) -> QuorumCertificate:
    """The COMMIT certificate of a block by all who sign."""
    return make_certificate(commits(block, signing, view=view), validators)


@dataclass(kw_only=True)
class Chain:
    """A growing valid chain whose members all sign; `step` adds a block.

    `states[h]`, `blocks[h - 1]` and `certificates[h - 1]` belong to height h.
    """

    contract: Contract
    keys: Sequence[Key]
    states: list[State]
    blocks: list[Block]
    certificates: list[QuorumCertificate]

    @property
    def state(self) -> State:
        """The state after the last block."""
        return self.states[-1]

    @property
    def in_force(self) -> Contract:
        """The contract in force at the next height."""
        return contract_in_force(self.contract, self.state)

    @property
    def certificate(self) -> QuorumCertificate | None:
        """The certificate of the last block."""
        return self.certificates[-1] if self.certificates else None

    def build(
        self,
        *,
        view: int = 0,
        trainers: Iterable[int] | None = None,
        outliers: Iterable[int] = (),
        listing: Iterable[int] | None = None,
        evidence: tuple[Evidence, ...] = (),
        metrics: tuple[Signed[MetricsReport], ...] = (),
    ) -> Block:
        """The valid next block, not yet added; EMPTY if the rules say so.

        Args:
            view: The view that creates it.
            trainers: Those that send an update; all unless told.
            outliers: Included trainers that are flagged.
            listing: Validators whose HAVE list it carries; all unless told.
            evidence, metrics: What it convicts members by, what they say about models.
        """
        state, of = self.state, self.in_force
        senders = [
            i
            for i, each in enumerate(of.members)
            if each.is_trainer and i not in state.banned and opens_for_training(of, state)
        ]
        updates = tuple(
            update(of, state, i, self.keys[i])
            for i in (senders if trainers is None else sorted(trainers))
        )
        listed = state.validators.members if listing is None else tuple(sorted(listing))
        haves = tuple(have(state, i, self.keys[i], updates) for i in listed)
        if view >= empty_view(of):
            haves, updates = (), ()
        kind = expected_kind(of, state, view, haves, updates, evidence)
        results = unchanged_results(state)
        if kind is BlockKind.AGGREGATE:
            weighted = expected_weights(of, state, haves, updates, evidence)
            bad = set(outliers)
            flags = [Flag(each.statement.trainer in bad) for each, _ in weighted]
            results = aggregate_results(
                weighted,
                flags,
                model_id=digest(f"model {state.height + 1}"),
                optimizer_id=state.optimizer_id,
            )
        draft = Draft(
            view=view,
            kind=kind,
            time_ms=state.time_ms + BLOCK_MS,
            haves=haves,
            updates=updates,
            last_certificate=self.certificate,
            results=results,
            evidence=evidence,
            metrics=metrics,
        )
        return build_block(of, state, draft)

    def add(
        self, block: Block, *, signing: Iterable[int] | None = None, view: int | None = None
    ) -> None:
        """Add a block and its certificate, signed by all validators unless told."""
        validators = self.state.validators
        signers = validators.members if signing is None else tuple(sorted(signing))
        held = {i: self.keys[i] for i in signers}
        self.certificates.append(certify(block, validators, held, view=view))
        self.states.append(apply(self.contract, self.state, block))
        self.blocks.append(block)


def empty_chain(of: Contract, signing: Sequence[Key]) -> Chain:
    """A chain without blocks."""
    return Chain(contract=of, keys=signing, states=[initial_state(of)], blocks=[], certificates=[])


def chain(
    length: int, *, n: int = 4, seed: int = DEFAULT_SEED, of: Contract | None = None
) -> Chain:
    """A valid chain of AGGREGATE blocks, signed with Ed25519."""
    terms = of or contract(n, seed=seed)
    return _grown(empty_chain(terms, keys(len(terms.members), seed)), length)


def stub_chain(length: int, *, n: int = 4, of: Contract | None = None) -> Chain:
    """A valid chain of AGGREGATE blocks under `STUB_SCHEME`: fast."""
    return _grown(empty_chain(of or contract(n), stub_keys(of or contract(n))), length)


def _grown(made: Chain, length: int) -> Chain:
    for _ in range(length):
        made.add(made.build())
    return made

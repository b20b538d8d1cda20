"""A network with twins: two replicas of one member with one key, both production engines."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import override

from consensus import engine as engine_module
from consensus.desk import Desk
from consensus.effects import BlockChecked, BuildBlock, CommitBlock, Input
from consensus.engine import Engine
from consensus.messages import Message, ProposalMessage
from consensus.record import INITIAL_RECORD
from consensus.signer import Signer, SlotStatement
from consensus.verification import verify_message
from ledger.certificates import check_certificate
from ledger.election import schedule
from ledger.errors import CertificateError
from ledger.genesis import Contract, public_keys
from ledger.keys import Signed
from ledger.powers import Validator, ValidatorSet
from ledger.records import Block, Evidence, QuorumCertificate, block_id
from ledger.state import State, initial_state, state_root
from ledger.validity import check_block
from tests.simulation.aggregate import build, recomputes
from tests.simulation.contracts import make_contract, member_key
from tests.simulation.packets import ViolationError
from tests.simulation.patching import attribute_replaced, replaced
from tests.simulation.scheme import StubScheme
from tests.simulation.settings import Settings
from tests.simulation.sharing import shared_results
from tests.twins.copying import Keys


class TwinDesk(Desk):
    """The desk of a twin, which does not mind that somebody else signs with its key (P60, P45)."""

    @override
    def take_own(self, signed: Signed[SlotStatement]) -> None:
        del signed

    @override
    def hear_evidence(self, evidence: Evidence) -> bool:
        del evidence
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What makes a network: the powers of its members, and those of them that are twins.

    Attributes:
        budget: The Byzantine budget: so many of the heaviest members hold less than a third.
        has_free_order: Whether scenarios say who proposes, and not rule P44.
        has_all_names: Whether scenarios that differ by the names of honest members are all run.
    """

    powers: tuple[int, ...]
    twins: tuple[int, ...]
    budget: int = 1
    has_free_order: bool = False
    has_all_names: bool = False

    @property
    def replicas(self) -> tuple[int, ...]:
        """The member that each replica is; second copies come last."""
        return (*range(len(self.powers)), *self.twins)

    @property
    def honest(self) -> frozenset[int]:
        """The members with one replica."""
        return frozenset(range(len(self.powers))) - frozenset(self.twins)


class Network:
    """The terms of a network, and what pure functions found in any of its branches.

    Attributes:
        order: Who proposes in which view, where `terms` leave that free; else rule P44 says it.
        messages: The numbers of all messages, equal for equal ones.
    """

    def __init__(self, terms: Terms) -> None:
        count = len(terms.powers)
        settings = Settings(
            seed=0,
            validators=count,
            byzantine_budget=terms.budget,
            samples=(100,) * count,
            skews_ms=(0,) * count,
        )
        self.terms = terms
        self.settings = settings
        self.contract: Contract = make_contract(settings)
        self.state = _initial_state(self.contract, terms.powers)
        self.validators = self.state.validators
        self.scheme = StubScheme()
        self.order: tuple[int, ...] = schedule(self.contract, self.state)
        self.messages = Keys()
        self._public_keys = public_keys(self.contract)
        self._inputs: dict[object, Input] = {}
        self._built: dict[tuple[object, ...], Block] = {}
        self._checked: dict[bytes, BlockChecked] = {}
        self._certificates: set[QuorumCertificate] = set()
        self._audited: dict[bytes, State] = {}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Share among all branches what is pure, and let `order` say who proposes."""
        with ExitStack() as patches:
            patches.enter_context(shared_results())
            if self.terms.has_free_order:
                patches.enter_context(replaced(schedule, lambda *_: self.order))
            yield

    def engine(self, member: int, *, is_twin: bool) -> Engine:
        """A new engine of a member."""
        desk: AbstractContextManager[Any] = (
            attribute_replaced(engine_module, "Desk", TwinDesk) if is_twin else ExitStack()
        )
        signer = Signer(
            key=member_key(self.settings, member),
            member=member,
            chain_id=self.state.chain_id,
            record=INITIAL_RECORD,
        )
        with desk:
            return Engine(
                contract=self.contract,
                state=self.state,
                tip_certificate=None,
                member=member,
                signer=signer,
                scheme=self.scheme,
            )

    def verify(self, message: Message) -> tuple[int, Input]:
        """The number of a message, equal for equal ones, and the input that it is."""
        if isinstance(message, ProposalMessage):
            number = self.messages.number((message.proposal, message.certificate))
        else:
            number = self.messages.number(message)
        found = self._inputs.get(number)
        if found is None:
            found = self._inputs[number] = verify_message(
                message, contract=self.contract, state=self.state, scheme=self.scheme
            )
        return number, found

    def build(self, order: BuildBlock) -> Block:
        """The block that an order asks for; one object for equal orders."""
        # The proposers up to its view are in its header, and in the scores after it (rule P40).
        key = self.order[: order.view + 1], order
        known = self._built.get(key)
        if known is None:
            known = self._built[key] = build(self.contract, self.state, order)
        return known

    def recompute(self, block: Block) -> BlockChecked:
        """What recomputing a block finds."""
        own_id = block_id(block.header)
        known = self._checked.get(own_id)
        if known is None:
            is_valid = recomputes(self.contract, self.state, block)
            known = self._checked[own_id] = BlockChecked(
                height=1, block_id=own_id, is_valid=is_valid, reason="" if is_valid else "wrong"
            )
        return known

    def check_certificate(self, certificate: QuorumCertificate) -> None:
        """Verify again a certificate that an honest replica shows or decides by.

        Raises:
            ViolationError: If it is none.
        """
        if certificate in self._certificates:
            return
        try:
            check_certificate(
                certificate,
                self.validators,
                self._public_keys,
                chain_id=self.state.chain_id,
                scheme=self.scheme,
            )
        except CertificateError as error:
            raise ViolationError(f"certificate: {error}") from None
        self._certificates.add(certificate)

    def audit(self, decision: CommitBlock) -> None:
        """Check a decided block from the genesis alone, and the state after it.

        Raises:
            ViolationError: If it may not be decided.
        """
        block = decision.block
        own_id = block_id(block.header)
        known = self._audited.get(own_id)
        if known is None:
            findings = check_block(self.contract, self.state, block, scheme=self.scheme)
            if findings or not recomputes(self.contract, self.state, block):
                raise ViolationError(f"validity: {findings or 'wrong results'}")
            known = self._audited[own_id] = decision.state
            if state_root(known) != block.header.state_root:
                raise ViolationError("state root of the decided block differs")
        if decision.state != known:
            raise ViolationError("states after one block differ")


def _initial_state(contract: Contract, powers: tuple[int, ...]) -> State:
    """The first state, but with these powers: those of a young network are nearly equal."""
    pairs = enumerate(powers)
    validators = tuple(Validator(member=member, power=power) for member, power in pairs)
    return replace(initial_state(contract), validators=ValidatorSet(validators=validators))

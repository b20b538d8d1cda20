"""Commands about a chain: its terms, its blocks, what they lead to, and who is who."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar, Final

from typing_extensions import override

from consensus.effects import UpdateReceived
from consensus.messages import Message, UpdateMessage, VoteMessage
from consensus.verification import verify_message
from ledger.certificates import make_certificate
from ledger.election import schedule
from ledger.encoding import fixed_bytes
from ledger.errors import LedgerError
from ledger.genesis import Contract, Role, consent_bytes
from ledger.genesis_rules import check_contract, check_genesis, fault_tolerance
from ledger.inclusion import disqualification, included, vouched_headers
from ledger.keys import Signed, sign, signing_bytes
from ledger.merkle import EMPTY_ROOT
from ledger.records import (
    FRESH,
    NIL,
    Block,
    BlockHeader,
    BlockKind,
    Evidence,
    HaveList,
    Phase,
    UpdateHeader,
    Vote,
)
from ledger.validity import check_block
from tests.ledger.talk_values import ValuesTalk, percent
from tests.support.evidence import proof
from tests.support.feedback import reports, with_feedback
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    commits,
    contract,
    digest,
    empty_chain,
    genesis,
    have,
    stub_keys,
    update,
    with_roles,
)
from tests.support.sealing import reseal
from tests.support.transcripts import Lines, Options

HELP: Final = """
network N [blocks=N] [samples=N,..] [budget=B] [lying=B] [need=N] [rounds=N] [late=N] [judging=N]
        [voters=M,..] [alike]   members that train and vote; voters have no data; two have one name
chain                           a letter for its id
three                           what it tolerates
genesis [without=M] [other=M]   signed by all; somebody missing; somebody's is of other terms
bytes PHASE view=V              what a vote's signature covers
hear vote|update by=M [key=M] [chain=other] [in=M]     a message, signed with somebody's key
update NAME by=M [late=N] [height=N] [elements=N] [base=N] [body=HEIGHT]     a header
list M,.. NAME...               HAVE lists of some members
counts [accused=M]              the updates that count, and why others do not
build [view=V] [trainers=M,..] [outliers=M,..] [listing=M,..] [accused=M]   the next block
check                           what is wrong with it
add [signing=M,..]              it is decided
try FIELD=VALUE [alone]         build it with one field of the header forged; all that follows from
                                it is made to fit, unless alone; then check
certificate [by=M,..] [phase=P] [height=N] [view=V] [none]    build with this last certificate
judge M:N...                    add a block in which members find the newest model so much better
where                           height, models
scores, order                   what members have, and who proposes next
"""
_DIGEST: Final = re.compile(r"\b[0-9a-f]{8}\b")


class ChainTalk(ValuesTalk):
    """A chain under keyed hashes, and what was named since its last block."""

    REFUSALS: ClassVar[tuple[type[Exception], ...]] = (LedgerError,)

    def __init__(self) -> None:
        super().__init__()
        self.made = _chain(contract(4))
        self.updates: dict[str, Signed[UpdateHeader]] = {}
        self.haves: list[Signed[HaveList]] = []
        self.block = self.made.build()

    # --- terms ----------------------------------------------------------------------------------

    def do_network(self, words: list[str], options: Options) -> Lines:
        self.made = _chain(_terms(int(words[0]), options, is_alike="alike" in words))
        self.updates, self.haves = {}, []
        check_contract(self.made.contract)
        for _ in range(int(options.get("blocks", "0"))):
            self.made.add(self.made.build())
        yield "the terms hold"

    def do_chain(self, *_: object) -> Lines:
        yield f"chain {self.letter(self.made.state.chain_id)}"

    def do_three(self, *_: object) -> Lines:
        numbers = fault_tolerance(self.made.contract)
        yield f"validators that may be silent: {numbers.silent_validators}"
        yield f"trainers that may be silent: {numbers.silent_trainers}"
        yield f"trainers that may lie: {numbers.lying_trainers}"

    def do_genesis(self, _: list[str], options: Options) -> Lines:
        of, keys = self.made.contract, self.made.keys
        made = genesis(of, keys)
        if "other" in options:
            member = int(options["other"])
            others = consent_bytes(replace(of, training_rounds=of.training_rounds + 1))
            signatures = list(made.signatures)
            signed = keys[member].sign(others)
            signatures[member] = replace(signatures[member], signature=signed)
            made = replace(made, signatures=tuple(signatures))
        left = [each for each in made.signatures if str(each.member) != options.get("without")]
        check_genesis(replace(made, signatures=tuple(left)), STUB_SCHEME)
        yield "everybody signed these terms"

    # --- signatures -----------------------------------------------------------------------------

    def do_bytes(self, words: list[str], options: Options) -> Lines:
        vote = self.vote(Phase[words[0].upper()], int(options["view"]))
        state = self.made.state
        signed, fields = signing_bytes(vote, state.chain_id), fixed_bytes(vote)
        assert signed.endswith(state.chain_id + fields), "the fields come last"
        parts = (fields[start:end].hex() for start, end in pairwise((0, 1, 9, 13, 17)))
        tag = signed[:16].rstrip(b"\0").decode("ascii")
        yield f"{tag}, the chain id, {' '.join(parts)}, {len(fields[17:])} bytes for the block"

    def do_hear(self, words: list[str], options: Options) -> Lines:
        made, signer = self.made, int(options["by"])
        key = made.keys[int(options.get("key", min(signer, len(made.keys) - 1)))]
        chain_id = digest("other") if "chain" in options else made.state.chain_id
        message: Message
        if words[0] == "vote":
            vote = self.vote(Phase.COMMIT, 0)
            message = VoteMessage(vote=sign(vote, key, signer=signer, chain_id=chain_id), reason="")
        else:
            header = update(made.contract, made.state, int(options.get("in", signer)), key)
            signed = sign(header.statement, key, signer=signer, chain_id=chain_id)
            message = UpdateMessage(update=signed)
        found = verify_message(
            message, contract=made.in_force, state=made.state, scheme=STUB_SCHEME
        )
        what = "UPDATE" if isinstance(found, UpdateReceived) else "VOTE"
        yield f"{what} of member {signer}"

    def vote(self, phase: Phase, view: int) -> Vote:
        """A vote for nil at the next height."""
        height = self.made.state.height + 1
        return Vote(phase=phase, height=height, view=view, valid_view=FRESH, block_id=NIL)

    # --- updates --------------------------------------------------------------------------------

    def do_update(self, words: list[str], options: Options) -> Lines:
        made, trainer, late = self.made, int(options["by"]), int(options.get("late", "0"))
        header = update(made.in_force, made.state, trainer, made.keys[trainer]).statement
        changes: dict[str, object] = {"training_round": header.training_round - late}
        changes["base_model_id"] = made.states[-1 - int(options.get("base", late))].model_id
        changes["update_id"] = digest(f"{words[0]} {made.state.height}")
        if "body" in options:
            former = made.blocks[int(options["body"]) - 1].updates
            (changes["update_id"],) = (
                each.statement.update_id for each in former if each.signer == trainer
            )
        for name, field in (("height", "height"), ("elements", "n_elements")):
            if name in options:
                changes[field] = int(options[name])
        header = replace(header, **changes)  # type: ignore[arg-type]  # fields by name
        chain_id = made.state.chain_id
        self.updates[words[0]] = sign(header, made.keys[trainer], signer=trainer, chain_id=chain_id)
        return ()

    def do_list(self, words: list[str], _: Options) -> Lines:
        made, held = self.made, [self.updates[name] for name in words[1:]]
        for member in map(int, words[0].split(",")):
            self.haves.append(have(made.state, member, made.keys[member], held))
        return ()

    def do_counts(self, _: list[str], options: Options) -> Lines:
        made, state = self.made, self.made.state
        evidence = self.evidence(options)
        counted = included(made.in_force, state, self.haves, self.updates.values(), evidence)
        vouched = vouched_headers(state, self.haves, self.updates.values())
        for name, each in self.updates.items():
            if each in counted:
                yield f"{name} counts"
            elif each in vouched:
                why = disqualification(made.in_force, state, each.statement)
                yield f"{name} does not: {why or 'two of its trainer, or accused'}"
            elif each.statement.height > state.height:
                yield f"{name} is vouched for by too few"

    # --- blocks ---------------------------------------------------------------------------------

    def do_build(self, _: list[str], options: Options) -> Lines:
        self.block = self.built(options)
        return ()

    def do_check(self, *_: object) -> Lines:
        return self.findings(self.block)

    def do_add(self, _: list[str], options: Options) -> Lines:
        self.made.add(self.block, signing=numbers(options, "signing"))
        self.updates, self.haves = {}, []
        header = self.block.header
        trainers = " ".join(str(each.trainer) for each in header.results.contributions) or "nobody"
        yield f"height {header.height}: {header.kind.name} of {trainers}, by {header.proposer}"

    def do_try(self, words: list[str], options: Options) -> Lines:
        block = self.built({})
        fields = {
            name: text if isinstance(getattr(block.header, name), str) else self.value(text)
            for name, text in options.items()
        }
        header = replace(block.header, **fields)  # type: ignore[arg-type]  # fields by name
        forged = replace(block, header=header)
        if "alone" not in words:
            forged = reseal(self.made.contract, self.made.state, forged)
        return self.findings(forged)

    def do_certificate(self, words: list[str], options: Options) -> Lines:
        made, parent = self.made, self.made.blocks[-1]
        signers = numbers(options, "by") or range(len(made.keys))
        votes = commits(parent, {member: made.keys[member] for member in signers})
        changes = options.keys() & {"view", "height"}
        fields: dict[str, object] = {name: int(options[name]) for name in changes}
        if "phase" in options:
            fields["phase"] = Phase[options["phase"].upper()]
        vote = replace(votes[0].statement, **fields)  # type: ignore[arg-type]  # fields by name
        chain_id = made.state.chain_id
        votes = tuple(sign(vote, made.keys[m], signer=m, chain_id=chain_id) for m in signers)
        certificate = make_certificate(votes, made.state.previous_validators)
        carried = () if "none" in words else (certificate,)
        forged = replace(made.build(), last_certificate=carried)
        self.block = reseal(made.contract, made.state, forged)
        return self.findings(self.block)

    def do_judge(self, words: list[str], _: Options) -> Lines:
        pairs = (word.split(":") for word in words)
        said = {int(member): int(gain) for member, gain in pairs}
        self.block = self.made.build(metrics=reports(self.made, said))
        assert [*self.findings(self.block)] == ["nothing is wrong"]
        self.made.add(self.block)
        yield from self.do_where()

    def built(self, options: Options) -> Block:
        """The next block as the options say."""
        return self.made.build(
            view=int(options.get("view", "0")),
            trainers=numbers(options, "trainers"),
            outliers=numbers(options, "outliers") or (),
            listing=numbers(options, "listing"),
            evidence=self.evidence(options),
        )

    def evidence(self, options: Options) -> tuple[Evidence, ...]:
        """Proof against the member that is accused, if any."""
        return (proof(self.made, int(options["accused"])),) if "accused" in options else ()

    def findings(self, block: Block) -> Iterator[str]:
        """What is wrong with a block, with names for digests."""
        made = self.made
        found = check_block(made.contract, made.state, block, scheme=STUB_SCHEME)
        for each in found:
            yield self.named(each.line)
        if not found:
            yield "nothing is wrong"

    # --- the state ------------------------------------------------------------------------------

    def do_where(self, *_: object) -> Lines:
        state = self.made.state
        models = f"model {self.model(state.model_id)}, best {self.model(state.best.model_id)}"
        yield f"height {state.height}, training round {state.training_round}, {models}"

    def do_scores(self, *_: object) -> Lines:
        state = self.made.state
        for member, each in enumerate(state.scores):
            scores = ", ".join(
                f"{name} {percent(getattr(each, name))}"
                for name in ("participation", "proposing", "quality")
            )
            power = state.validators.power_of(member)
            banned = ", banned" if member in state.banned else ""
            yield f"{member}: {scores}; power {power}{banned}"

    def do_order(self, *_: object) -> Lines:
        yield " ".join(map(str, schedule(self.made.in_force, self.made.state)))

    # --- names ----------------------------------------------------------------------------------

    def value(self, text: str) -> object:
        """A number, the kind of a block, or a digest: M3 and B3 are model and block of height 3."""
        if text.isdecimal():
            return int(text)
        if text in BlockKind.__members__:
            return BlockKind[text]
        number = int(text[1:]) if text[1:].isdecimal() else 0
        match text[0]:
            case "M":
                return self.made.states[number].model_id
            case "B":
                return self.made.states[number].tip_id
            case _:
                return digest(text)

    def model(self, model_id: bytes) -> str:
        """M and the height after which a model was the current one first."""
        return next(f"M{h}" for h, each in enumerate(self.made.states) if each.model_id == model_id)

    @override
    def named(self, text: str) -> str:
        if not _DIGEST.search(text):
            return text
        header = self.made.build().header
        names = {
            value.hex()[:8]: f"its {name}"
            for name in reversed(BlockHeader.__slots__)
            if isinstance(value := getattr(header, name), bytes)
        }
        names |= {each.tip_id.hex()[:8]: f"B{each.height}" for each in self.made.states}
        names |= {each.model_id.hex()[:8]: self.model(each.model_id) for each in self.made.states}
        names[self.made.state.chain_id.hex()[:8]] = "the chain"
        names |= {EMPTY_ROOT.hex()[:8]: "the empty root", digest("other").hex()[:8]: "another"}
        return _DIGEST.sub(lambda found: names.get(found[0]) or self.letter(found[0]), text)


def numbers(options: Options, name: str) -> list[int] | None:
    """Numbers with commas; an empty list for none, None where nothing is said."""
    if name not in options:
        return None
    return [int(word) for word in options[name].split(",") if word != "none"]


def _terms(count: int, options: Options, *, is_alike: bool) -> Contract:
    budget = int(options["budget"]) if "budget" in options else None
    lying = int(options["lying"]) if "lying" in options else None
    samples = numbers(options, "samples") or [100] * count
    of = contract(count, byzantine_budget=budget, trainer_budget=lying, samples=samples)
    of = with_roles(of, dict.fromkeys(numbers(options, "voters") or (), Role.VALIDATOR))
    if "judging" in options:
        of = with_feedback(of, range(count), patience=int(options["judging"]))
    names = (("need", "min_updates"), ("rounds", "training_rounds"), ("late", "max_staleness"))
    changes = {field: int(options[name]) for name, field in names if name in options}
    of = replace(of, **changes)  # type: ignore[arg-type]  # fields by name
    if is_alike:
        members = [replace(each, name=of.members[0].name) for each in of.members[:2]]
        of = replace(of, members=(*members, *of.members[2:]))
    return of


def _chain(of: Contract) -> Chain:
    return empty_chain(of, stub_keys(of))

"""The commands of the engine's transcripts: one engine, and somebody who speaks for all others."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from consensus.effects import (
    BlockBuilt,
    BlocksReceived,
    BuildBlock,
    Effect,
    EntryProofReceived,
    SetTimer,
    Started,
    StatusReceived,
    TimerKind,
    VoteReceived,
)
from consensus.messages import Status
from consensus.record import INITIAL_RECORD
from ledger.building import with_outcome
from ledger.records import FRESH, NIL, Block, Phase, block_id
from tests.support.consensus.bench import NOW_MS, Bench, equal_chain
from tests.support.ledger import Chain
from tests.support.transcripts import Commands, Lines, Options

# Which numbers p0, p1, ... have is drawn from the chain id, so that output has no numbers.
_NUMBERED: Final = re.compile(r"\b(contradiction|EVIDENCE|to|ask|show) (\d+)\b")
MEMBERS: Final = 4
HELP: Final = """
node leads=V [chain=N] [silent]     an engine after N decided heights whose member leads view V; in
                            these one of the others signed nothing
late                        its COMMIT of the last decided height comes now
start, restart              from what is durable; the others answer its question at once
lose                        stop, and lose the folder
wake                        start without any answer
answer MEMBER...            these members answer that they saw nothing of it
hold TRAINER...             their updates are here, with bodies; the own one is trained
have MEMBER [TRAINER...]    a HAVE list
block NAME [view=V] [of=M,..] [ahead=MS] [other]   name a valid block: with the HAVEs of some,
                            a time ahead of the clock, other results
propose NAME VIEW [valid=V] its offer, with a PREPARE certificate of view V
check NAME [wrong]          the host has recomputed it
prepare|commit VIEW NAME|nil [by=M,..] [valid=V]    votes, of all others unless told
certificate prepare|commit VIEW NAME [by=M,..]
proof VIEW NAME|nil [by=M,..]   an entry proof: COMMITs of the view before
timeout KIND [VIEW]         a wait is over
draft                       what the block that was asked for last is made of
built NAME                  the host has built it
decided N                   the others decide N more heights, without this node: D1, D2, ...
status MEMBER HEIGHT        a member says where it stands
blocks FIRST LAST           decided blocks with the certificate of the last
heights MS [out] [prepare=MS] [commit=MS]   heights are decided, with proposals and votes so late,
                            until all others led; then HAVEs of the others come; out: waits run out
flood MEMBER FIRST LAST     it prepares nil in all these views
keeps                       how many votes the engine holds
timers                      the waits that the last command began
clock MS                    the own clock goes on
where                       height, view, lock and valid
"""


class Talk(Commands):
    """What one transcript has made so far. Members are named p0, p1, ... by the view they lead."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.ahead = self.bench.chain
        self.silent: int | None = None
        self.blocks: dict[str, Block] = {}

    # --- life -----------------------------------------------------------------------------------

    def do_node(self, words: list[str], options: Options) -> Lines:
        leads, decided = int(options["leads"]), int(options.get("chain", "0"))
        self.silent = None
        self.bench = Bench(leads=leads, chain=equal_chain(decided))
        for number in range(MEMBERS) if "silent" in words else ():
            self.bench = Bench(leads=leads, chain=equal_chain(decided, silent=[number]))
            if self.bench.member != number:
                self.silent = number
                break
        self.ahead = copy_of(self.bench.chain)
        yield f"this is p{options['leads']} at height {self.bench.height}"

    def do_start(self, *_: object) -> Lines:
        return self.shown(self.bench.start())

    def do_wake(self, *_: object) -> Lines:
        return self.shown(self.bench.step(Started()))

    def do_answer(self, words: list[str], _: Options) -> Lines:
        return self.shown(self.bench.answer(map(self.member, words)))

    def do_lose(self, *_: object) -> Lines:
        self.bench.record = INITIAL_RECORD
        self.bench.saved.clear()
        self.bench.engine = self.bench.boot()
        return ()

    def do_restart(self, *_: object) -> Lines:
        return self.shown(self.bench.restart())

    def do_clock(self, words: list[str], _: Options) -> Lines:
        self.bench.now_ms += int(words[0])
        return ()

    def do_heights(self, words: list[str], options: Options) -> Lines:
        """All others lead before one of them leads again; this node trains for none of these."""
        bench, led = self.bench, set[int]()
        while True:
            bench.hold(*bench.others)
            effects: list[Effect] = []
            for member in bench.others:
                bench.have(member, bench.others)
                effects += bench.effects
            leader = bench.order[0]
            if led.issuperset(bench.others) and leader != bench.member:
                bench.effects = tuple(effects)
                return ()
            led.add(leader)
            bench.now_ms += int(words[0])
            if "out" in words:
                bench.fire(TimerKind.PROPOSE)
            block = bench.chain.build(listing=bench.others, trainers=bench.others)
            if leader == bench.member:
                bench.fire(TimerKind.HAVE_GRACE)
                bench.step(BlockBuilt(height=block.header.height, view=0, block=block))
            else:
                bench.propose_and_check(block)
            for phase in Phase:
                bench.now_ms += int(options.get(phase.name.lower(), "0"))
                bench.votes(phase, 0, block_id(block.header))
            bench.follow(block)

    def do_where(self, *_: object) -> Lines:
        record = self.bench.record
        lock = "none" if record.lock is None else self.bench.names[record.lock.block_id]
        valid = "none"
        if record.certificate is not None:
            block = self.bench.names[record.certificate.block_id]
            valid = f"{block} of view {record.certificate.view}"
        engine = self.bench.engine
        where = f"height {engine.height}, view {engine.view}"
        yield f"{where}; on the disk: lock {lock}, valid {valid}"

    def do_flood(self, words: list[str], _: Options) -> Lines:
        for view in range(int(words[1]), int(words[2]) + 1):
            self.bench.vote(self.member(words[0]), Phase.PREPARE, view, NIL)
        return ()

    def do_keeps(self, *_: object) -> Lines:
        height = self.bench.engine._height
        assert height is not None, "a height is in work"
        yield f"{height.facts.tally.size()} votes"

    def do_timers(self, *_: object) -> Lines:
        for effect in self.bench.effects:
            if isinstance(effect, SetTimer):
                timer = effect.timer
                yield f"{timer.kind.value} of view {timer.view}: {effect.delay_ms} ms"

    def do_timeout(self, words: list[str], _: Options) -> Lines:
        view = int(words[1]) if len(words) > 1 else 0
        return self.shown(self.bench.fire(TimerKind(words[0]), view))

    # --- collecting -----------------------------------------------------------------------------

    def do_hold(self, words: list[str], _: Options) -> Lines:
        return self.shown(self.bench.hold(*map(self.member, words)))

    def do_have(self, words: list[str], _: Options) -> Lines:
        who, *trainers = map(self.member, words)
        return self.shown(self.bench.have(who, sorted(trainers)))

    # --- blocks ---------------------------------------------------------------------------------

    def do_block(self, words: list[str], options: Options) -> Lines:
        listing = self.members(options["of"]) if "of" in options else None
        name, view = words[0], int(options.get("view", "0"))
        block = self.bench.block(name, view=view, listing=listing, is_other="other" in words)
        if "ahead" in options:
            header = replace(block.header, time_ms=self.bench.now_ms + int(options["ahead"]))
            changed = replace(block, header=header)
            block = with_outcome(self.bench.contract, self.bench.state, changed)
            self.bench.names[block_id(block.header)] = name
        self.blocks[name] = block
        return ()

    def do_propose(self, words: list[str], options: Options) -> Lines:
        block = self.blocks[words[0]]
        certificate = None
        if "valid" in options:
            valid = int(options["valid"])
            certificate = self.bench.certificate(Phase.PREPARE, valid, block_id(block.header))
        return self.shown(self.bench.propose(block, int(words[1]), certificate))

    def do_check(self, words: list[str], _: Options) -> Lines:
        block = self.blocks[words[0]]
        return self.shown(self.bench.check(block, is_valid="wrong" not in words))

    def do_draft(self, *_: object) -> Lines:
        drafts = [each for each in self.bench.history if isinstance(each, BuildBlock)]
        draft = drafts[-1]
        certificate = draft.last_certificate
        signers = () if certificate is None else certificate.positions
        yield f"{draft.kind.name}, view {draft.view}, {draft.time_ms - NOW_MS} ms after the start"
        yield f"HAVEs of {self.names(each.signer for each in draft.haves)}"
        yield f"updates of {self.names(each.statement.trainer for each in draft.updates)}"
        yield f"last certificate of {len(signers)} members"
        yield f"evidence against {self.names(each.first.signer for each in draft.evidence)}"

    def do_built(self, words: list[str], _: Options) -> Lines:
        block = self.blocks[words[0]]
        header = block.header
        built = BlockBuilt(height=header.height, view=header.created_view, block=block)
        return self.shown(self.bench.step(built))

    # --- the past -------------------------------------------------------------------------------

    def do_decided(self, words: list[str], _: Options) -> Lines:
        for _count in range(int(words[0])):
            others = self.bench.others
            block = self.ahead.build(listing=others, trainers=others)
            self.bench.names[block_id(block.header)] = f"D{block.header.height}"
            self.ahead.add(block, signing=others)
        return ()

    def do_late(self, *_: object) -> Lines:
        certificate = self.bench.chain.certificate
        assert certificate is not None, "a height is decided"
        assert self.silent is not None, "somebody was silent"
        signed = self.bench.sign(certificate.vote, self.silent)
        return self.shown(self.bench.step(VoteReceived(vote=self.bench.verified(signed))))

    def do_status(self, words: list[str], _: Options) -> Lines:
        height = int(words[1])
        status = Status(
            height=height, block_id=self.ahead.states[height].tip_id, sequence=self.bench.now_ms
        )
        signed = self.bench.sign(status, self.member(words[0]))
        return self.shown(self.bench.step(StatusReceived(status=self.bench.verified(signed))))

    def do_blocks(self, words: list[str], _: Options) -> Lines:
        first, last = map(int, words)
        received = BlocksReceived(
            blocks=tuple(self.ahead.blocks[first - 1 : last]),
            certificate=self.ahead.certificates[last - 1],
        )
        return self.shown(self.bench.step(received))

    # --- votes ----------------------------------------------------------------------------------

    def do_prepare(self, words: list[str], options: Options) -> Lines:
        return self.votes(Phase.PREPARE, words, options)

    def do_commit(self, words: list[str], options: Options) -> Lines:
        return self.votes(Phase.COMMIT, words, options)

    def votes(self, phase: Phase, words: list[str], options: Options) -> Lines:
        """Votes of several members, one after the other."""
        members = self.members(options["by"]) if "by" in options else self.bench.others
        valid = int(options.get("valid", FRESH))
        return self.shown(
            self.bench.votes(
                phase, int(words[0]), self.id_of(words[1]), members=members, valid_view=valid
            )
        )

    def do_certificate(self, words: list[str], options: Options) -> Lines:
        members = self.members(options["by"]) if "by" in options else self.bench.others
        phase, view, block = Phase[words[0].upper()], int(words[1]), self.id_of(words[2])
        return self.shown(
            self.bench.certify(self.bench.certificate(phase, view, block, members=members))
        )

    def do_proof(self, words: list[str], options: Options) -> Lines:
        members = self.members(options["by"]) if "by" in options else self.bench.others
        view = int(words[0])
        votes = tuple(
            self.bench.verified(
                self.bench.signed_vote(member, Phase.COMMIT, view - 1, self.id_of(words[1]))
            )
            for member in members
        )
        proof = EntryProofReceived(height=self.bench.height, view=view, votes=votes)
        return self.shown(self.bench.step(proof))

    # --- names ----------------------------------------------------------------------------------

    def member(self, name: str) -> int:
        """The number of the member that leads a view."""
        return self.bench.order[int(name.removeprefix("p"))]

    def members(self, names: str) -> list[int]:
        """The numbers of several members."""
        return [self.member(name) for name in names.split(",")]

    def names(self, members: Iterable[int]) -> str:
        """Several members, all or none."""
        names = sorted(map(self.name_of, members))
        return "everybody" if len(names) == MEMBERS else " ".join(names) or "nobody"

    def id_of(self, name: str) -> bytes:
        """The id of a block that was named."""
        return NIL if name == "nil" else block_id(self.blocks[name].header)

    def name_of(self, member: int) -> str:
        """The name of a member by its number."""
        if member == self.silent:
            return "silent"
        return f"p{self.bench.order.index(member)}"

    def shown(self, lines: Iterable[str]) -> Iterator[str]:
        """What the engine does, with the members' names for their numbers."""
        for line in lines:
            yield _NUMBERED.sub(lambda found: f"{found[1]} {self.name_of(int(found[2]))}", line)


def copy_of(chain: Chain) -> Chain:
    """A chain that grows by itself."""
    return replace(
        chain,
        states=list(chain.states),
        blocks=list(chain.blocks),
        certificates=list(chain.certificates),
    )

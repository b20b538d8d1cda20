"""The commands of the ledger's transcripts: changes of members, and the files of a ledger."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

from typing_extensions import override

from ledger.anchors import check_anchor, make_anchor
from ledger.audit import audit
from ledger.checkpoint import Checkpoint, check_checkpoint, checkpoint_findings, make_checkpoint
from ledger.errors import LedgerError
from ledger.operations import Agreed, ChangeTerms, Join, Operation, with_possession
from ledger.proofs import Chain as Proved
from ledger.proofs import check_update_proof, prove_update
from ledger.records import Block, BlockHeader, DoubleVote
from ledger.store import DATABASE_NAME, Ledger
from tests.ledger.talk_chain import ChainTalk, numbers
from tests.support.evidence import proof
from tests.support.fields import with_field
from tests.support.ledger import STUB_SCHEME, empty_chain
from tests.support.members import (
    agreed,
    carrying,
    change,
    evict,
    hold,
    join,
    leave,
    new_key,
    ready,
    rotate,
)
from tests.support.store import append, change_behind_the_triggers, genesis_of
from tests.support.transcripts import Lines, Options

HELP: Final = """
blocks N [signing=M,..]     more blocks, signed by these
accuse M [same|unsigned|twice] [height=N]   a block with evidence: of equal statements, with one
                                            that was not signed, carried twice
join NAME, leave M, evict M, rotate M, terms rounds=N   carry an operation that everybody approved
                        [by=M,..] [expiry=N]    who did; the last height that may carry it
again                   carry the same once more
ready M [height=N]      carry a READY
members                 who takes part
store                   make a folder for the ledger
append HEIGHT, head
change delete|update|insert     the block of height 1, past the program
rot                     the same past the database, as a bad disk would
audit [without=certificate] [blocks=N] [HEIGHT.FIELD...]    with fields forged
checkpoint HEIGHT       the three lines
believe [root=other] [size=N] [chain=other]     from the genesis alone
contained [blocks=N] [other]    whether a ledger has the checkpoint's log
prove M HEIGHT [instead=HEIGHT]    that the block counted the member's update
"""

CHANGES: Final = {
    "delete": "DELETE FROM entries WHERE kind = 'block' AND number = 1",
    "update": "UPDATE entries SET data = x'00' WHERE kind = 'block' AND number = 1",
    "insert": "INSERT INTO entries SELECT kind, number + 9, digest, data FROM entries"
    " WHERE kind = 'block'",
}


class LedgerTalk(ChainTalk):
    """A chain, its last operation, its folder and its last checkpoint."""

    REFUSALS: ClassVar[tuple[type[Exception], ...]] = (LedgerError, sqlite3.IntegrityError)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder / "state"
        self.last: Agreed | None = None
        self.checkpoint: Checkpoint | None = None

    # --- more blocks ----------------------------------------------------------------------------

    def do_blocks(self, words: list[str], options: Options) -> Lines:
        for _ in range(int(words[0])):
            self.made.add(self.made.build(), signing=numbers(options, "signing"))
        return ()

    def do_accuse(self, words: list[str], options: Options) -> Lines:
        height = int(options.get("height", self.made.state.height + 1))
        evidence = proof(self.made, int(words[0]), height=height)
        assert isinstance(evidence, DoubleVote), "that is what it is unless told"
        if "same" in words:
            evidence = replace(evidence, second=evidence.first)
        if "unsigned" in words:
            forged = replace(evidence.second, signature=bytes(64))
            evidence = replace(evidence, second=forged)
        carried = (evidence, evidence) if "twice" in words else (evidence,)
        return self.findings(self.made.build(evidence=carried))

    # --- members --------------------------------------------------------------------------------

    def do_join(self, words: list[str], options: Options) -> Lines:
        yield from self.proposed(join(self.made, words[0]), options)
        if len(self.made.state.membership.members) > len(self.made.keys):
            hold(self.made, len(self.made.keys), new_key(words[0], self.made.keys[0]))

    def do_leave(self, words: list[str], options: Options) -> Lines:
        return self.proposed(leave(self.made, int(words[0])), options)

    def do_evict(self, words: list[str], options: Options) -> Lines:
        return self.proposed(evict(self.made, int(words[0])), options)

    def do_rotate(self, words: list[str], options: Options) -> Lines:
        member = int(words[0])
        key = new_key(f"another of {member}", self.made.keys[0])
        yield from self.proposed(rotate(self.made, member, key), options)
        if self.made.state.membership.public_keys[member] == key.public_key:
            hold(self.made, member, key)

    def do_terms(self, _: list[str], options: Options) -> Lines:
        rounds = int(options["rounds"])
        operation: ChangeTerms = change(
            self.made, lambda terms: replace(terms, training_rounds=rounds)
        )
        return self.proposed(operation, options)

    def do_again(self, *_: object) -> Lines:
        assert self.last is not None, "an operation was carried"
        return self.carried(carrying(self.made, (self.last,)))

    def do_ready(self, words: list[str], options: Options) -> Lines:
        height = int(options["height"]) if "height" in options else None
        said = ready(self.made, int(words[0]), height=height)
        return self.carried(carrying(self.made, (), (said,)))

    def do_members(self, *_: object) -> Lines:
        known = enumerate(self.made.state.membership.members)
        yield ", ".join(
            f"{number} {each.member.name} {each.standing.name}" for number, each in known
        )

    def proposed(self, operation: Operation, options: Options) -> Lines:
        """Carry an operation in the next block if that is valid."""
        if "expiry" in options:
            operation = replace(operation, expiry=int(options["expiry"]))
            if isinstance(operation, Join):
                key = new_key(operation.name, self.made.keys[0])
                operation = with_possession(operation, key, self.made.state.chain_id)
        self.last = agreed(self.made, operation, numbers(options, "by"))
        return self.carried(carrying(self.made, (self.last,)))

    def carried(self, block: Block) -> Lines:
        """Add a block, or say what is wrong with it."""
        found = [*self.findings(block)]
        if found == ["nothing is wrong"]:
            self.made.add(block)
            yield f"carried at height {self.made.state.height}"
        else:
            yield from found

    # --- the disk -------------------------------------------------------------------------------

    def do_store(self, *_: object) -> Lines:
        Ledger.create(self.folder, genesis_of(self.made)).close()
        return self.do_head()

    def do_append(self, words: list[str], _: Options) -> Lines:
        with Ledger.open(self.folder) as ledger:
            append(ledger, self.made, int(words[0]))
        return self.do_head()

    def do_head(self, *_: object) -> Lines:
        with Ledger.open(self.folder) as ledger:
            is_same = ledger.state == self.made.states[ledger.head]
            yield f"height {ledger.head} with {'its' if is_same else 'another'} state"

    def do_change(self, words: list[str], _: Options) -> Lines:
        connection = sqlite3.connect(self.folder / DATABASE_NAME)
        try:
            connection.execute(CHANGES[words[0]])
        finally:
            connection.close()
        yield "done"

    def do_rot(self, *_: object) -> Lines:
        change_behind_the_triggers(self.folder, CHANGES["update"])
        return ()

    @override
    def named(self, text: str) -> str:
        return super().named(text).replace(str(self.folder), "the folder")

    # --- proofs ---------------------------------------------------------------------------------

    def do_audit(self, words: list[str], options: Options) -> Lines:
        made = self.made
        blocks = made.blocks[: int(options.get("blocks", len(made.blocks)))]
        for height, name in (word.split(".") for word in words):
            old = blocks[int(height) - 1]
            forged = with_field(old.header, name, self.value("other"))
            assert isinstance(forged, BlockHeader)
            blocks[int(height) - 1] = replace(old, header=forged)
        certificate = made.certificates[len(blocks) - 1] if blocks else None
        if "without" in options:
            certificate = None
        report = audit(genesis_of(made), blocks, certificate, scheme=STUB_SCHEME)
        for each in report.findings:
            yield self.named(each.line)
        signers = " ".join(map(str, report.signers))
        if report.holds:
            yield f"holds: {report.blocks} blocks, the last signed by {signers}; {report.results}"

    def do_checkpoint(self, words: list[str], _: Options) -> Lines:
        made = self.made
        anchor = make_anchor(made.contract, made.blocks, made.certificate, int(words[0]))
        anchored = check_anchor(made.contract, anchor, scheme=STUB_SCHEME)
        self.checkpoint = make_checkpoint(anchored, anchor)
        yield f"a line of the chain; {self.checkpoint.size}; root {self.letter(anchored.root)}"

    def do_believe(self, _: list[str], options: Options) -> Lines:
        assert self.checkpoint is not None, "there is a checkpoint"
        changes: dict[str, object] = {name: self.value(text) for name, text in options.items()}
        checkpoint = replace(self.checkpoint, **changes)  # type: ignore[arg-type]  # by name
        anchored = check_checkpoint(self.made.contract, checkpoint, scheme=STUB_SCHEME)
        yield f"block {anchored.header.height} was certified"

    def do_contained(self, words: list[str], options: Options) -> Lines:
        assert self.checkpoint is not None, "there is a checkpoint"
        made = self.made
        if "other" in words:
            made = empty_chain(made.contract, made.keys)
            for view in (0, 1, 2):
                made.add(made.build(view=view))
        blocks = made.blocks[: int(options.get("blocks", len(made.blocks)))]
        found = checkpoint_findings(made.contract, self.checkpoint, blocks, scheme=STUB_SCHEME)
        yield from [each.line for each in found] or ["the ledger has the checkpoint's log"]

    def do_prove(self, words: list[str], options: Options) -> Lines:
        made, (member, height) = self.made, map(int, words)
        whole = Proved(contract=made.contract, blocks=made.blocks, certificate=made.certificate)
        proof = prove_update(whole, height=height, member=member)
        if "instead" in options:
            (update,) = (
                each
                for each in made.blocks[int(options["instead"]) - 1].updates
                if each.statement.trainer == member
            )
            proof = replace(proof, update=update)
        shown = check_update_proof(made.contract, proof, scheme=STUB_SCHEME)
        weight = f"weight {shown.weight} of {shown.total_weight}"
        where = f"block {shown.header.height}, anchored at {shown.anchored.header.height}"
        yield f"update of {shown.update.statement.trainer} in {where}, {weight}"

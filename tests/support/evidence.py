"""Evidence of every kind, made with the keys of the accused."""

from dataclasses import replace

from ledger.evidence import make_evidence
from ledger.keys import Signed, sign
from ledger.records import (
    FRESH,
    Codec,
    Evidence,
    HaveEntry,
    HaveList,
    Phase,
    Proposal,
    UpdateHeader,
    Vote,
)
from tests.support.ledger import Chain, digest

KINDS = ("UPDATE", "HAVE", "PROPOSAL", "PREPARE", "COMMIT")


def proof(made: Chain, member: int, kind: str = "COMMIT", *, height: int | None = None) -> Evidence:
    """Proof that a member contradicted itself, at the height after the chain unless told."""
    stated = made.state.height + 1 if height is None else height
    one, other = statements(kind, member, stated)
    return make_evidence(signed(made, member, one), signed(made, member, other))


def signed(made: Chain, member: int, statement: "Said") -> Signed["Said"]:
    """A statement signed by a member of a chain."""
    key, chain_id = made.keys[member], made.state.chain_id
    return sign(statement, key, signer=member, chain_id=chain_id)


Said = UpdateHeader | HaveList | Proposal | Vote


def statements(kind: str, member: int, height: int) -> tuple[Said, Said]:
    """Two different statements of one kind at one place."""
    a, b = digest("one"), digest("another")
    match kind:
        case "UPDATE":
            header = UpdateHeader(
                trainer=member,
                height=height,
                training_round=height,
                base_model_id=digest("base"),
                update_id=a,
                codec=Codec.INT32,
                n_elements=8,
                releases=1,
            )
            return header, replace(header, update_id=b)
        case "HAVE":
            entries = [(HaveEntry(trainer=0, header_digest=each),) for each in (a, b)]
            first, second = (HaveList(height=height, entries=each) for each in entries)
            return first, second
        case "PROPOSAL":
            proposal = Proposal(height=height, view=2, valid_view=FRESH, block_id=a)
            return proposal, replace(proposal, valid_view=0)
        case _:
            phase = Phase[kind]
            vote = Vote(phase=phase, height=height, view=2, valid_view=FRESH, block_id=a)
            return vote, replace(vote, block_id=b)

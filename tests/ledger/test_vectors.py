"""Bytes that must never change without a new version: pinned in tests/vectors/ledger.txt.

After a change that is meant, `python -m tests.ledger.test_vectors` writes them anew.
"""

from pathlib import Path

from ledger.building import rule_parameters_hash
from ledger.certificates import certificate_hash
from ledger.encoding import encode, encode_as
from ledger.genesis import chain_id, consent_bytes
from ledger.keys import Signed, signing_bytes
from ledger.powers import validators_hash
from ledger.records import FRESH, Phase, Proposal, UpdateHeader, Vote, block_id, header_digest
from ledger.state import initial_state, state_root
from tests.support.ledger import chain, commits, digest

PATH = Path(__file__).parent.parent / "vectors" / "ledger.txt"


def vectors() -> dict[str, str]:
    """Everything that is hashed or signed, from one seeded chain of four members."""
    made = chain(3)
    terms, block, state = made.contract, made.blocks[1], made.states[2]
    update, have = block.updates[0], block.haves[0]
    proposal = Proposal(height=2, view=1, valid_view=FRESH, block_id=digest("block"))
    prepare = Vote(phase=Phase.PREPARE, height=2, view=1, valid_view=0, block_id=digest("block"))
    nil = Vote(phase=Phase.COMMIT, height=2, view=1, valid_view=FRESH, block_id=b"")
    commit = commits(block, {3: made.keys[3]})[0]
    named = {
        "chain id": chain_id(terms),
        "consent": consent_bytes(terms),
        "initial model id": terms.model.initial_model_id,
        "rule parameters hash": rule_parameters_hash(terms.aggregation),
        "initial state root": state_root(initial_state(terms)),
        "update signed bytes": signing_bytes(update.statement, state.chain_id),
        "update digest": header_digest(update.statement, state.chain_id),
        "update signed": encode_as(Signed[UpdateHeader], update),
        "have signed bytes": signing_bytes(have.statement, state.chain_id),
        "proposal signed bytes": signing_bytes(proposal, state.chain_id),
        "prepare signed bytes": signing_bytes(prepare, state.chain_id),
        "nil signed bytes": signing_bytes(nil, state.chain_id),
        "commit signed": encode_as(Signed[Vote], commit),
        "certificate 2": encode(made.certificates[1]),
        "certificate 2 hash": certificate_hash((made.certificates[1],)),
        "header 2": encode(block.header),
        "state 2": encode(state),
        "validators 3 hash": validators_hash(state.validators, state.membership.public_keys),
        "updates root 2": block.header.updates_root,
        "haves root 2": block.header.haves_root,
        "log root 3": made.blocks[2].header.log_root,
        "state root 3": state_root(made.state),
        "block id 3": block_id(made.blocks[2].header),
    }
    return {name: value.hex() for name, value in named.items()}


def test_hashed_and_signed_bytes_are_those_of_the_vectors() -> None:
    lines = PATH.read_text(encoding="ascii").splitlines()
    pinned = dict(line.split(": ") for line in lines)

    assert vectors() == pinned


if __name__ == "__main__":
    text = "".join(f"{name}: {value}\n" for name, value in vectors().items())
    PATH.write_text(text, encoding="ascii")

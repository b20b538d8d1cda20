"""A forger who knows every rule and holds some keys: changes one thing, recomputes all the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TypeVar

from ledger.building import expected_weights, rule_parameters_hash
from ledger.election import proposer_of
from ledger.errors import DecodeError
from ledger.export import write_export
from ledger.keys import Key, Signed, Statement, sign, signing_bytes
from ledger.membership import contract_in_force
from ledger.powers import ValidatorSet, validators_hash
from ledger.records import Block, Contribution, QuorumCertificate, block_id
from ledger.state import State, apply
from tests.support.feedback import reports, with_feedback
from tests.support.fields import changed, with_field
from tests.support.ledger import Chain, commits, contract, empty_chain, keys
from tests.support.sealing import reseal

StatementT = TypeVar("StatementT", bound=Statement)


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """A forged ledger: blocks from 1 on, and the certificate of the last."""

    blocks: tuple[Block, ...]
    certificate: QuorumCertificate | None

    @property
    def export(self) -> bytes:
        """The forged file."""
        file = BytesIO()
        write_export(file, self.blocks, self.certificate)
        return file.getvalue()


def history(length: int = 5, *, n: int = 4) -> Chain:
    """An honest ledger with an outlier, late view, METRICS and EMPTY block, where it is long."""
    made = empty_chain(with_feedback(contract(n), range(n)), keys(n))
    for height in range(1, length + 1):
        view = {2: 1, 4: 5}.get(height, 0)
        metrics = reports(made, dict.fromkeys(range(n), 5)) if height == 3 else ()
        made.add(made.build(view=view, outliers=(1,) if height == 2 else (), metrics=metrics))
    return made


def forge_field(of: Chain, height: int, path: str, held: Mapping[int, Key]) -> Forgery:
    """The ledger with one field of one block forged and everything after it made to fit.

    Ids, roots, hashes and links are recomputed up to the tip; statements of members whose keys are
    held are signed anew; all other signatures are those of the honest ledger.
    """
    state = of.states[height - 1]
    forged = changed(Block, of.blocks[height - 1], path)
    assert isinstance(forged, Block)
    forged = _resigned(state, forged, path, held)
    sealed = reseal(of.contract, state, forged)
    name = path.removeprefix("header.")
    if path.startswith("header.") and not name.startswith("results."):
        value = getattr(forged.header, name)
        header = with_field(sealed.header, name, value)
        sealed = replace(sealed, header=header)  # type: ignore[arg-type]
    return continue_after(of, (*of.blocks[: height - 1], sealed), held)


def forge_certificate(of: Chain, path: str, held: Mapping[int, Key]) -> Forgery:
    """The ledger with one field of the tip's certificate forged and its vote signed anew."""
    forged = changed(QuorumCertificate, of.certificates[-1], path)
    assert isinstance(forged, QuorumCertificate)
    state = of.states[-2]
    if path != "signatures[]":
        forged = _recertified(forged, state.chain_id, state.validators, held)
    return Forgery(blocks=tuple(of.blocks), certificate=forged)


def continue_after(of: Chain, blocks: tuple[Block, ...], held: Mapping[int, Key]) -> Forgery:
    """Make the rest of an honest ledger follow on a forged beginning of it."""
    state = of.states[len(blocks) - 1]
    certificate = certify(of, blocks[-1], state, held)
    state = apply(of.contract, state, blocks[-1])
    for old in of.blocks[len(blocks) :]:
        block = _relinked(of, state, old, certificate)
        certificate = certify(of, block, state, held)
        state = apply(of.contract, state, block)
        blocks = (*blocks, block)
    return Forgery(blocks=blocks, certificate=certificate)


def certify(of: Chain, block: Block, state: State, held: Mapping[int, Key]) -> QuorumCertificate:
    """A certificate of a forged block: the honest one's, with the signatures that keys can make."""
    honest = of.certificates[state.height]
    view = max(honest.view, block.header.created_view)
    named = replace(honest, block_id=block_id(block.header), view=view)
    return _recertified(named, state.chain_id, state.validators, held)


def _relinked(of: Chain, state: State, old: Block, certificate: QuorumCertificate) -> Block:
    """An honest block on top of a forged one, its statements kept."""
    in_force = contract_in_force(of.contract, state)
    weights = {
        each.statement.trainer: weight
        for each, weight in expected_weights(in_force, state, old.haves, old.updates, old.evidence)
    }
    contributions = tuple(
        Contribution(
            trainer=each.trainer,
            weight=weights.get(each.trainer, each.weight),
            flagged=each.flagged,
        )
        for each in old.header.results.contributions
    )
    header = replace(
        old.header,
        parent_id=state.tip_id,
        proposer=proposer_of(in_force, state, old.header.created_view),
        rule_parameters_hash=rule_parameters_hash(in_force.aggregation),
        base_model_id=state.model_id,
        results=replace(old.header.results, contributions=contributions),
        validators_hash=validators_hash(state.validators, state.membership.public_keys),
    )
    return reseal(of.contract, state, replace(old, header=header, last_certificate=(certificate,)))


def _resigned(state: State, block: Block, path: str, held: Mapping[int, Key]) -> Block:
    """Sign anew what a forged path is part of, where a key is held."""
    chain_id = state.chain_id
    if path.startswith("haves[]") and not path.endswith("signature"):
        haves = tuple(_signed_anew(each, chain_id, held) for each in block.haves)
        return replace(block, haves=haves)
    if path.startswith("updates[]") and not path.endswith("signature"):
        updates = tuple(_signed_anew(each, chain_id, held) for each in block.updates)
        return replace(block, updates=updates)
    if path.startswith("metrics[]") and not path.endswith("signature"):
        metrics = tuple(_signed_anew(each, chain_id, held) for each in block.metrics)
        return replace(block, metrics=metrics)
    if path.startswith("last_certificate[]") and not path.endswith("signatures[]"):
        (old,) = block.last_certificate
        anew = _recertified(old, chain_id, state.previous_validators, held)
        return replace(block, last_certificate=(anew,))
    return block


def _signed_anew(
    signed: Signed[StatementT], chain_id: bytes, held: Mapping[int, Key]
) -> Signed[StatementT]:
    key = held.get(signed.signer)
    if key is None:
        return signed
    return sign(signed.statement, key, signer=signed.signer, chain_id=chain_id)


def _recertified(
    certificate: QuorumCertificate,
    chain_id: bytes,
    validators: ValidatorSet,
    held: Mapping[int, Key],
) -> QuorumCertificate:
    """The certificate with the signatures of held keys on the vote that it now stands for."""
    try:
        vote = certificate.vote
    except DecodeError:
        return certificate
    signatures = list(certificate.signatures)
    for i, position in enumerate(certificate.positions[: len(signatures)]):
        key = held.get(validators.members[position]) if position < len(validators.members) else None
        if key is not None:
            signatures[i] = key.sign(signing_bytes(vote, chain_id))
    copy = with_field(certificate, "signatures", tuple(signatures))
    assert isinstance(copy, QuorumCertificate)
    return copy


def votes_certificate(block: Block, state: State, held: Mapping[int, Key]) -> QuorumCertificate:
    """A certificate of a block by whoever holds a key, quorum or not."""
    votes = {vote.signer: vote for vote in commits(block, held)}
    members = [member for member in state.validators.members if member in votes]
    bitmap = bytearray((len(state.validators.members) + 7) // 8)
    for member in members:
        position = state.validators.members.index(member)
        bitmap[position // 8] |= 1 << position % 8
    vote = votes[members[0]].statement
    return QuorumCertificate(
        phase=vote.phase,
        height=vote.height,
        view=vote.view,
        valid_view=vote.valid_view,
        block_id=vote.block_id,
        bitmap=bytes(bitmap),
        signatures=tuple(votes[member].signature for member in members),
    )

"""The card of a model: where it comes from, according to the ledger that names it (rule P54)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fednode.cli.ledger_views import judgement_text, time_text
from fednode.founding.terms import feedback_text
from ledger.audit_report import LIMITS, Plain, printable
from ledger.genesis import NO_FEEDBACK, Contract
from ledger.inspection import View, chain_views, feedback_view, network_view
from ledger.membership import contract_in_force
from ledger.model_file import ModelFile
from ledger.records import Block, BlockKind, QuorumCertificate
from ledger.state import replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled table of a card; without columns the rows are names and values."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def model_card(
    contract: Contract,
    blocks: Sequence[Block],
    certificate: QuorumCertificate | None,
    model: ModelFile,
) -> View:
    """Return the lineage of a model as plain data for JSON.

    Args:
        contract: The terms.
        blocks: Blocks 1 to H of a ledger in which an audit found nothing.
        certificate: The certificate of height H.
        model: A model that one of the blocks, or the contract, names: also that is checked before.
    """
    height = int(dict(model.metadata)["height"])
    terms = contract_in_force(contract, replay(contract, blocks[: max(0, height - 1)]))
    views = [
        view
        for view, block in zip(chain_views(contract, blocks, certificate), blocks, strict=True)
        if block.header.height <= height and block.header.kind is BlockKind.AGGREGATE
    ]
    network = network_view(contract, replay(contract, blocks))
    return {
        "model_id": model.model_id.hex(),
        "height": height,
        "training_round": len(views),
        "architecture": contract.model.architecture,
        "parameters": contract.model.n_elements,
        "chain_id": network["chain_id"],
        "network": contract.name,
        "continues": network["continues"],
        "decided": _decision(views[-1]) if views else {},
        "members": network["members"],
        "training_rounds": [_training_round(view) for view in views],
        "feedback": _feedback(contract, blocks, height),
        "terms": _terms(terms),
        "ledger_height": len(blocks),
        "cannot_know": list(LIMITS),
    }


def card_sections(card: View) -> tuple[Section, ...]:
    """Return a card as titled tables of text."""
    return (
        Section(title="Model", columns=(), rows=tuple(_model_rows(card))),
        Section(
            title="Training",
            columns=(
                "training round",
                "height",
                "time",
                "counted, with share of the weight",
                "outliers",
            ),
            rows=tuple(_training_rows(card)),
        ),
        Section(
            title=f"Members at height {card['ledger_height']} of the ledger",
            columns=("member", "standing", "key", "samples claimed", "counted in", "outlier in"),
            rows=tuple(_contributor_rows(card)),
        ),
        Section(
            title="Terms of the contract, as in force when the model was made",
            columns=(),
            rows=tuple((name, str(value)) for name, value in _dict(card["terms"]).items()),
        ),
    )


def markdown(card: View) -> str:
    """Return a card as Markdown."""
    lines = [f"# Model {str(card['model_id'])[:16]}", ""]
    for section in card_sections(card):
        columns = section.columns or ("", "")
        rows = [columns, tuple("---" for _ in columns), *section.rows]
        lines += [f"## {section.title}", ""]
        lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
        lines.append("")
    lines += ["## What this card cannot know", ""]
    lines += [f"- {_cell(str(limit))}" for limit in _list(card["cannot_know"])]
    return "\n".join(lines)


def _decision(view: View) -> View:
    votes = _dict(view["votes"])
    return {
        "block_id": view["block_id"],
        "time": _time(view),
        "view": votes["view"],
        "signers": votes["signers"],
        "absent": votes["absent"],
        "power": votes["power"],
        "total_power": votes["total_power"],
    }


def _feedback(contract: Contract, blocks: Sequence[Block], height: int) -> View:
    """How members judged the model (rule P16); nothing where nobody judges."""
    if contract.feedback == NO_FEEDBACK:
        return {}
    return {"metric": feedback_text(contract), **feedback_view(contract, blocks, height)}


def _training_round(view: View) -> View:
    return {
        "training_round": view["training_round"],
        "height": view["height"],
        "time": _time(view),
        "model_id": view["model_id"],
        "contributors": view["contributions"],
    }


def _terms(contract: Contract) -> View:
    training, aggregation = contract.training, contract.aggregation
    parameters: View = {each.name: each.value for each in aggregation.parameters}
    return {
        "mode": aggregation.mode,
        "rule": aggregation.rule_id,
        "rule parameters": ", ".join(f"{k} {v}" for k, v in parameters.items()) or "none",
        "privacy": contract.privacy,
        "trainers that may lie": contract.trainer_budget,
        "label": contract.data.label,
        "positive": contract.data.positive,
        "features": ", ".join(each.name for each in contract.data.features),
        "optimizer": training.optimizer,
        "learning rate": training.learning_rate,
        "momentum": training.momentum,
        "worker momentum": training.worker_momentum,
        "batch size": training.batch_size,
        "local steps": training.local_steps,
        "seed": training.seed,
        "learner": training.learner_hash.hex(),
        "training rounds planned": contract.training_rounds,
    }


def _model_rows(card: View) -> Iterator[tuple[str, str]]:
    yield "model", str(card["model_id"])
    yield "architecture", f"{card['architecture']}, {card['parameters']} parameters"
    yield "network", str(card["network"])
    yield "chain id", f"{card['chain_id']} (compare it with a copy obtained elsewhere)"
    decided = _dict(card["decided"])
    yield from _origin_rows(card)
    if not decided:
        return
    yield "made", f"by block {card['height']}, after {card['training_round']} training rounds"
    yield "block", f"{decided['block_id']}, {decided['time']} UTC"
    yield "signed by", _names(decided["signers"])
    yield "power", f"{decided['power']} of {decided['total_power']}, view {decided['view']}"
    yield "results", "as certified by these members, not recomputed here"
    yield from _feedback_rows(card)


def _origin_rows(card: View) -> Iterator[tuple[str, str]]:
    for each in map(_dict, _list(card["continues"])):
        origin = f"model {each['model_id']} of chain {each['chain_id']}, height {each['height']}"
        yield "starts from", origin
    if not card["decided"]:
        is_left = bool(card["continues"])
        how = "taken over from that chain" if is_left else "the initial model, not trained"
        yield "made", f"by the founders: {how}"


def _feedback_rows(card: View) -> Iterator[tuple[str, str]]:
    feedback = _dict(card["feedback"])
    if not feedback:
        return
    yield "judged by", str(feedback["metric"])
    judged = _dict(feedback["judged"])
    if judged:
        yield "judgement", judgement_text(judged)
    is_best = feedback["best_model_id"] == card["model_id"]
    best = "this one" if is_best else f"that of height {feedback['best_height']}"
    yield "best model", f"{best}; returns to the best: {feedback['returns']}"


def _training_rows(card: View) -> Iterator[tuple[str, ...]]:
    for each in map(_dict, _list(card["training_rounds"])):
        contributors = [_dict(entry) for entry in _list(each["contributors"])]
        shares = [
            f"{entry['name']} {int(str(entry['weight_permille'])) / 10:.1f} %"
            for entry in contributors
        ]
        outliers = [str(entry["name"]) for entry in contributors if entry["is_outlier"]]
        yield (
            str(each["training_round"]),
            str(each["height"]),
            str(each["time"]),
            ", ".join(shares),
            ", ".join(outliers) or "-",
        )


def _contributor_rows(card: View) -> Iterator[tuple[str, ...]]:
    entries = [
        _dict(entry)
        for each in map(_dict, _list(card["training_rounds"]))
        for entry in _list(each["contributors"])
    ]
    for member in map(_dict, _list(card["members"])):
        own = [entry for entry in entries if entry["number"] == member["number"]]
        flagged = sum(bool(entry["is_outlier"]) for entry in own)
        counted = f"{len(own)} of {card['training_round']}"
        yield (
            str(member["name"]),
            "banned" if member["is_banned"] else str(member["standing"]).lower(),
            str(member["public_key"])[:16],
            str(member["samples"]) if member["is_trainer"] else "-",
            counted if member["is_trainer"] else "-",
            str(flagged) if member["is_trainer"] else "-",
        )


def _time(view: View) -> str:
    return time_text(int(str(view["time_ms"])))


def _names(members: Plain) -> str:
    return ", ".join(str(_dict(each)["name"]) for each in _list(members))


def _cell(text: str) -> str:
    """Names come from a file: none of them may end a cell, a row or the table."""
    plain = printable(text)
    for mark in "\\|`*_<>[]":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def _dict(value: Plain) -> View:
    assert isinstance(value, dict), f"expected named values in a card, got {value!r}"
    return value


def _list(value: Plain) -> list[Plain]:
    assert isinstance(value, list), f"expected a list in a card, got {value!r}"
    return value

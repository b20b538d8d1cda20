"""`fednode status`: what a member's node does, and who is missing."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli.output import JsonOption, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from fednode.status import Status
    from ledger.store import Ledger

HEIGHTS_LOOKED_BACK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One member as a node sees it; times in milliseconds since 1970, None where unknown."""

    member: int
    name: str
    roles: str
    standing: str
    last_vote_height: int
    last_vote_ms: int | None
    last_included_height: int
    is_missing: bool


def status(
    folder: Annotated[Path, typer.Argument(help="A member's folder.", metavar="DIR")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show height, phase, who is missing and since when, and the last error; also while it runs.

    Example: fednode status north
    """
    from fednode.changes.kept import load_operations
    from fednode.changes.mailbox import Mailbox
    from fednode.cli.ledger_views import feedback_after
    from fednode.folders import open_ledger, state_folder
    from fednode.status import STATUS_NAME, is_running, load_status
    from ledger.membership import contract_in_force

    known = load_status(state_folder(folder) / STATUS_NAME)
    with open_ledger(folder) as ledger:
        members = _members(ledger, known)
        state = ledger.state
        contract = contract_in_force(ledger.contract, state)
        home = state_folder(folder)
        summary: dict[str, object] = {
            "network": contract.name,
            "chain_id": ledger.chain_id.hex(),
            "is_running": known is not None and is_running(known),
            "certified_height": state.height,
            "training_round": state.training_round,
            "training_rounds": contract.training_rounds,
            "is_finished": state.training_round >= contract.training_rounds,
            "model_id": state.model_id.hex(),
            "feedback": feedback_after(contract, state),
            "operations_pending": len(load_operations(home)),
            "orders_waiting": len(Mailbox(home).waiting()),
        }
    if as_json:
        live = known.model_dump(mode="json") if known else None
        print_json({**summary, "members": [asdict(each) for each in members], "live": live})
    else:
        _print(summary, members, known)


def _members(ledger: "Ledger", known: "Status | None") -> list[MemberView]:
    from fednode.changes.standing import standing_text
    from fednode.founding.terms import role_names
    from fednode.status import silent_members
    from ledger.certificates import signers

    state = ledger.state
    signed: dict[int, int] = {}
    included: dict[int, int] = {}
    if state.height:
        certificate = ledger.certificate_at(state.height)
        signed = dict.fromkeys(signers(certificate, state.previous_validators), state.height)
    for block in ledger.blocks(max(1, state.height - HEIGHTS_LOOKED_BACK), state.height):
        for each in block.header.results.contributions:
            included[each.trainer] = block.header.height
    silent = silent_members(known, state.validators.members) if known else {}
    views = []
    for number, record in enumerate(state.membership.members):
        member = record.member
        heard = known.heard.get(str(number)) if known else None
        views.append(
            MemberView(
                member=number,
                name=member.name,
                roles=role_names(member.roles),
                standing=standing_text(state, number),
                last_vote_height=max(heard.height if heard else 0, signed.get(number, 0)),
                last_vote_ms=heard.time_ms if heard else None,
                last_included_height=included.get(number, 0),
                is_missing=number in silent,
            )
        )
    return views


def _print(summary: dict[str, object], members: list[MemberView], known: "Status | None") -> None:
    from fednode.cli.ledger_views import feedback_pairs

    pairs: list[tuple[str, object]] = [
        ("network", summary["network"]),
        ("chain id", summary["chain_id"]),
        ("node", _node_line(known, is_running=bool(summary["is_running"]))),
        (
            "certified",
            f"height {summary['certified_height']}, training round "
            f"{summary['training_round']} of {summary['training_rounds']}"
            + (" (finished)" if summary["is_finished"] else ""),
        ),
        ("model", summary["model_id"]),
        (
            "changes",
            f"{summary['operations_pending']} pending operations, {summary['orders_waiting']} "
            "orders waiting; see 'fednode member list'",
        ),
    ]
    if known is not None and summary["is_running"]:
        phase = f"height {known.height}, view {known.view}: {known.phase}"
        pairs.append(("now", f"{phase} since {_time(known.phase_since_ms)}"))
        pairs += [(f"broker {lane}", state) for lane, state in known.lanes.items()]
    feedback = summary["feedback"]
    if isinstance(feedback, dict):
        pairs += feedback_pairs(feedback)
    error = known.error if known else None
    pairs.append(("last error", f"{_time(error.time_ms)} {error.text}" if error else "none"))
    print_pairs(pairs)
    print()
    rows = [
        (
            each.member,
            each.name,
            each.roles,
            each.standing,
            each.last_vote_height or "-",
            _time(each.last_vote_ms),
            each.last_included_height or "-",
            _missing(each),
        )
        for each in members
    ]
    columns = ("", "member", "roles", "standing", "voted at", "heard", "updated at", "")
    print_table(columns, rows)


def _node_line(known: "Status | None", *, is_running: bool) -> str:
    if known is None:
        return "never started here"
    if is_running:
        return f"running since {_time(known.started_ms)}, process {known.process_id}"
    why = known.stopped or "ended without a word, as after a crash or a power cut"
    return f"not running: {why} ({_time(known.updated_ms)})"


def _missing(member: MemberView) -> str:
    if not member.is_missing:
        return ""
    since = member.last_vote_ms
    return "missing, never heard" if since is None else f"missing since {_time(since)}"


def _time(time_ms: int | None) -> str:
    if time_ms is None:
        return "never"
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds")[:19]

"""What a node says and does when a block bans a member (rule P45)."""

from consensus.desk import Desk
from consensus.effects import Halt
from ledger.evidence import evidence_key, evidence_text
from ledger.records import Block


def show(block: Block, desk: Desk) -> None:
    """Tell a person whom a decided block bans, and why; stop when it is this node's key."""
    for evidence in block.evidence:
        member = evidence_key(evidence)[0]
        name = desk.contract.members[member].name
        text = f"height={block.header.height} member={member}: {name} is banned for"
        desk.notice(f"{text} {evidence_text(evidence)} (rule P45)", is_error=False)
    stop_if_banned(desk)


def stop_if_banned(desk: Desk) -> None:
    """Stop a node whose key the chain has banned: nothing that it says counts any more."""
    if desk.member is not None and desk.member in desk.state.banned:
        desk.emit(
            Halt(
                reason=f"height={desk.state.height} member={desk.member}: a block banned this "
                "node's key, because two different statements were signed with it; see `fednode "
                "ledger show`, find out who else has the key, and do not use it again (rule P45)"
            )
        )

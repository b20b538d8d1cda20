"""Members that have each other's keys of bodies, and parts for tests that are not about them."""

from collections.abc import Sequence
from hashlib import sha256

from fednode.wire.channels import Channel, OwnKeys, SenderBox
from fednode.wire.counters import Counters
from fednode.wire.sender_keys import Outgoing, SenderKeys

CHAIN = bytes(32)
PERIOD_MS = 1_000


def own_keys(member: int, *, membership_epoch: int = 0, made_ms: int = 1) -> OwnKeys:
    """Keys that depend on the arguments alone."""
    seed = sha256(f"{member} {membership_epoch} {made_ms}".encode()).digest()
    return OwnKeys(
        chain_id=CHAIN,
        member=member,
        membership_epoch=membership_epoch,
        made_ms=made_ms,
        seed=seed,
    )


class Nonces:
    """A source of nonces that counts."""

    def __init__(self, member: int) -> None:
        self._member, self._number = member, 0

    def __call__(self, size: int) -> bytes:
        self._number += 1
        return self._member.to_bytes(2, "big") + self._number.to_bytes(size - 2, "big")


def not_entered(member: int, counters: Counters | None = None) -> SenderKeys:
    """Keys of a member that has entered no epoch."""
    return SenderKeys(
        own_member=member,
        ask_period_ms=lambda: PERIOD_MS,
        counters=counters or Counters(),
        nonce_source=Nonces(member),
    )


def entered(member: int, members: Sequence[int], counters: Counters | None = None) -> SenderKeys:
    """Keys of a member that is in its first epoch and has heard of nobody."""
    keys = not_entered(member, counters)
    keys.enter(own_keys(member), members, now_ms=0)
    return keys


def deliver(keys: SenderKeys, sender: int, statement: Channel | SenderBox, now_ms: int = 0) -> None:
    """Hand a statement to a member, as if its signature had been checked."""
    match statement:
        case Channel() as channel:
            keys.on_channel(sender, channel, now_ms=now_ms)
        case SenderBox() as box:
            keys.on_box(sender, box, now_ms=now_ms)


def carry(everybody: Sequence[SenderKeys], said: tuple[int, Outgoing], now_ms: int = 0) -> None:
    """Hand one statement to whom it is for; who said it comes first."""
    sender, outgoing = said
    for keys in everybody:
        if keys.own.member != sender and outgoing.member in (None, keys.own.member):
            deliver(keys, sender, outgoing.statement, now_ms)


def spoken(everybody: Sequence[SenderKeys], now_ms: int = 0) -> list[tuple[int, Outgoing]]:
    """What all have to say now."""
    return [(keys.own.member, each) for keys in everybody for each in keys.due(now_ms)]


def talk(everybody: Sequence[SenderKeys], now_ms: int = 0) -> list[tuple[int, Outgoing]]:
    """Carry what all have to say until nobody has anything to say; return it all."""
    recorded = []
    while said := spoken(everybody, now_ms):
        recorded += said
        for each in said:
            carry(everybody, each, now_ms)
    return recorded


def acquainted(number: int) -> tuple[SenderKeys, ...]:
    """Members that all have the keys of all."""
    everybody = tuple(entered(member, range(number)) for member in range(number))
    talk(everybody)
    return everybody

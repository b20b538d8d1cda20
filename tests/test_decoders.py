"""Every decoder of bytes from outside, found by registry, under random and mutated input (P2)."""

import importlib
import pkgutil
import random
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

import consensus
import fednode
import ledger
from fednode.wire.packets import cut, encode_packet
from ledger.checkpoint import Checkpoint, encode_checkpoint
from ledger.encoding import decode, encode_as
from ledger.errors import DecodeError
from tests.support.random_records import random_value

INPUTS = 20_000
SEEDS_PER_DECODER = 50
RANDOM_BYTES_MAX = 300

Decode = Callable[[bytes], object]
Encode = Callable[[object], bytes]


def modules() -> Iterator[ModuleType]:
    for package in (ledger, consensus, fednode):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def record_decoders() -> dict[str, object]:
    """Name and class of each record that some module declares decodable."""
    found: dict[str, object] = {}
    for module in modules():
        for kind in getattr(module, "DECODABLE", ()):
            found[str(kind).replace("'", "")] = kind
    return found


def handmade_decoders() -> dict[str, tuple[Decode, Encode]]:
    """Name, decode and encode of each decoder that is not derived from annotations."""
    found: dict[str, tuple[Decode, Encode]] = {}
    for module in modules():
        for name, decoder, encoder in getattr(module, "DECODERS", ()):
            found[f"{module.__name__}.{name}"] = (decoder, encoder)
    return found


def packet_samples() -> list[bytes]:
    body = bytes(range(256)) * 20
    packets = cut(body, bytes(32), granules=1)
    return [encode_packet(packet) for packet in packets]


def checkpoint_samples() -> list[bytes]:
    line = "\u2014 witness.example/w1 AAAAAAA="
    root = bytes(range(32))
    return [
        encode_checkpoint(Checkpoint(chain_id=root, size=size, root=root, signatures=(line,) * n))
        for size, n in ((1, 1), (2**40, 3))
    ]


HANDMADE_SAMPLES: dict[str, Callable[[], list[bytes]]] = {
    "fednode.wire.packets.body packet": packet_samples,
    "ledger.checkpoint.checkpoint": checkpoint_samples,
}
"""A decoder without an entry fails its test."""


def mutated(valid: bytes, rng: random.Random) -> bytes:
    """One byte changed, inserted, or removed, or the end cut off."""
    place = rng.randrange(len(valid))
    match rng.randrange(4):
        case 0:
            return (
                valid[:place] + bytes([valid[place] ^ 1 << rng.randrange(8)]) + valid[place + 1 :]
            )
        case 1:
            return valid[:place] + rng.randbytes(1) + valid[place:]
        case 2:
            return valid[:place] + valid[place + 1 :]
        case _:
            return valid[:place]


def inputs(valid: list[bytes], rng: random.Random) -> Iterator[bytes]:
    for number in range(INPUTS):
        if number % 2:
            yield mutated(valid[number % len(valid)], rng)
        else:
            yield rng.randbytes(rng.randint(0, RANDOM_BYTES_MAX))


def check_decoder(decoder: Decode, encoder: Encode, data: bytes) -> bool:
    """Whether it decoded; then it must encode to the same bytes. Only DecodeError may be raised."""
    try:
        value = decoder(data)
    except DecodeError:
        return False
    assert encoder(value) == data
    return True


def test_the_registry_finds_what_travels_and_what_is_stored() -> None:
    names = " ".join(record_decoders())

    for expected in ("VoteMessage", "BlocksMessage", "Block", "SafetyRecord", "State", "Genesis"):
        assert expected in names, f"{expected} is decoded from bytes but not declared"
    assert handmade_decoders()


@pytest.mark.parametrize("name", sorted(record_decoders()))
def test_a_record_decoder_survives_hostile_bytes(name: str, seed: int) -> None:
    kind = record_decoders()[name]
    rng = random.Random(f"{seed} {name}")
    valid = [encode_as(kind, random_value(kind, rng)) for _ in range(SEEDS_PER_DECODER)]

    def decoder(data: bytes) -> object:
        return decode(kind, data)  # type: ignore[arg-type]  # a generic alias, see decode

    for data in valid:
        assert check_decoder(decoder, lambda value: encode_as(kind, value), data)
    for data in inputs(valid, rng):
        check_decoder(decoder, lambda value: encode_as(kind, value), data)


@pytest.mark.parametrize("name", sorted(handmade_decoders()))
def test_a_handmade_decoder_survives_hostile_bytes(name: str, seed: int) -> None:
    decoder, encoder = handmade_decoders()[name]
    rng = random.Random(f"{seed} {name}")
    valid = HANDMADE_SAMPLES[name]()

    for data in valid:
        assert check_decoder(decoder, encoder, data)
    for data in inputs(valid, rng):
        check_decoder(decoder, encoder, data)

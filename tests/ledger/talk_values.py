"""Commands about bytes, numbers and bodies: what needs no chain."""

from typing import ClassVar, Final

import numpy as np

from fednode.aggregation.fixedpoint import dequantize, quantize
from ledger.bodies import (
    LEAF_BYTES,
    body_id,
    decode_model_body,
    encode_model_body,
    encode_update_body,
)
from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.merkle import leaf_hash, root_of_hashes
from ledger.powers import Validator
from ledger.reputation import (
    SCALE,
    contribution_weights,
    initial_participation,
    sample_clip,
    voting_powers,
)
from ledger.tensors import TensorSpec
from tests.support.transcripts import Commands, Lines, Options

HELP: Final = """
write MEMBER POWER          the bytes of a validator: the smallest record
read HEX...                 a validator from bytes
body NAME ones=N [named=TENSOR] [salt=N]    a model of N ones; with a salt an update
id NAME                     its id: the same one has the same letter
open NAME ones=N [named=TENSOR]     read it as a model with such a table
scale exponent=E NUMBER...  floats as integers, and back
powers budget=B PERCENT...  voting powers of validators with so much participation
weights budget=B clip=N SAMPLES[xQUALITY%][-LATE]...     weights of updates
begin SAMPLES...            the first participation
"""


class ValuesTalk(Commands):
    """The bodies that were named."""

    REFUSALS: ClassVar[tuple[type[Exception], ...]] = (DecodeError,)

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.letters: dict[bytes | str, str] = {}

    # --- bytes ----------------------------------------------------------------------------------

    def do_write(self, words: list[str], _: Options) -> Lines:
        member, power = map(int, words)
        yield encode(Validator(member=member, power=power)).hex(" ")

    def do_read(self, words: list[str], _: Options) -> Lines:
        record = decode(Validator, bytes.fromhex("".join(words)))
        yield f"member {record.member}, power {record.power}"

    # --- bodies ---------------------------------------------------------------------------------

    def do_body(self, words: list[str], options: Options) -> Lines:
        table, values = _table(options), _ones(int(options["ones"]))
        if "salt" in options:
            salt = int(options["salt"]).to_bytes(32, "big")
            body = encode_update_body(salt, table, values)
        else:
            body = encode_model_body(table, values)
        self.bodies[words[0]] = body
        yield f"{len(body)} bytes"

    def do_id(self, words: list[str], _: Options) -> Lines:
        body = self.bodies[words[0]]
        pieces = [body[at : at + LEAF_BYTES] for at in range(0, len(body), LEAF_BYTES)]
        is_root = root_of_hashes(map(leaf_hash, pieces)) == body_id(body)
        whose = "their root" if is_root else "not their root"
        yield f"{len(pieces)} leaves; id {self.letter(body_id(body))}, {whose}"

    def do_open(self, words: list[str], options: Options) -> Lines:
        values = decode_model_body(self.bodies[words[0]], _table(options))
        yield f"{len(values) // 4} values, the first is {values[:4].hex(' ')}"

    def letter(self, digest: bytes | str) -> str:
        """A letter for a digest: A for the first one that came, B for the next."""
        return self.letters.setdefault(digest, chr(ord("A") + len(self.letters)))

    # --- numbers --------------------------------------------------------------------------------

    def do_scale(self, words: list[str], options: Options) -> Lines:
        exponent = int(options["exponent"])
        for number in map(float, words):
            integers = quantize(np.array([number]), exponent)
            yield f"{number:g} is {integers[0]}, which means {dequantize(integers, exponent)[0]:g}"

    def do_powers(self, words: list[str], options: Options) -> Lines:
        budget, shares = int(options["budget"]), [int(word) for word in words]
        powers = voting_powers([SCALE * share // 100 for share in shares], budget)
        yield " ".join(map(str, powers))
        heaviest = sum(sorted(powers, reverse=True)[:budget])
        yield f"three times the {budget} heaviest: {3 * heaviest}, all together: {sum(powers)}"

    def do_weights(self, words: list[str], options: Options) -> Lines:
        samples, qualities, lateness = zip(*map(_update, words), strict=True)
        weights = contribution_weights(
            samples,
            qualities,
            lateness,
            clip=int(options["clip"]),
            trainer_budget=int(options["budget"]),
        )
        yield " ".join(map(str, weights))

    def do_begin(self, words: list[str], _: Options) -> Lines:
        samples = [int(word) for word in words]
        yield f"samples count up to {sample_clip(samples)}"
        yield " ".join(percent(each) for each in initial_participation(samples))


def percent(score: int) -> str:
    """A score as a share of the scale."""
    return f"{100 * score / SCALE:.2f}%"


def _update(word: str) -> tuple[int, int, int]:
    """(samples, quality, training rounds late) of 500x75%-1."""
    rest, _, late = word.partition("-")
    samples, _, quality = rest.partition("x")
    return int(samples), SCALE * int(quality.removesuffix("%") or 100) // 100, int(late or 0)


def _table(options: Options) -> tuple[TensorSpec, ...]:
    shape = (int(options["ones"]),)
    return (TensorSpec(name=options.get("named", "weight"), shape=shape, exponent=16),)


def _ones(count: int) -> bytes:
    return np.full(count, 1, "<i4").tobytes()

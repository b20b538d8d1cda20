"""An export is its records and nothing else; what is not is refused with its place (rule P2)."""

import random
from collections.abc import Callable
from io import BytesIO

import pytest

from ledger.encoding import encode
from ledger.errors import DecodeError
from ledger.export import read_export, scan_export, write_export
from ledger.records import Block, QuorumCertificate
from tests.support.ledger import Chain, stub_chain


def export_of(chain: Chain) -> bytes:
    file = BytesIO()
    length = write_export(file, chain.blocks, chain.certificate)
    assert length == len(file.getvalue())
    return file.getvalue()


def test_an_export_is_read_back_and_written_again_byte_for_byte() -> None:
    chain = stub_chain(3)
    data = export_of(chain)

    blocks, certificate = read_export(data)

    assert (list(blocks), certificate) == (chain.blocks, chain.certificate)
    assert data == b"".join(map(encode, chain.blocks)) + encode(chain.certificates[-1])


def test_a_ledger_without_blocks_has_an_empty_export() -> None:
    assert export_of(stub_chain(0)) == b""
    assert read_export(b"") == ((), None)


ONE = stub_chain(1)
BLOCK, CERTIFICATE = encode(ONE.blocks[0]), encode(ONE.certificates[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0" + BLOCK + CERTIFICATE, "record 1 at offset 0: expected a block .* got kind None"),
        (BLOCK + b"\0" + CERTIFICATE, f"record 2 at offset {len(BLOCK)}: expected a block"),
        (BLOCK + b"\xc1" + CERTIFICATE, f"record 2 at offset {len(BLOCK)}: not a whole msgpack"),
        (BLOCK + CERTIFICATE + b"\0", "expected the end of the file .* got 1 more bytes"),
        (
            BLOCK + CERTIFICATE + CERTIFICATE,
            f"expected the end .* got {len(CERTIFICATE)} more bytes",
        ),
        (BLOCK + CERTIFICATE + BLOCK, f"offset {len(BLOCK + CERTIFICATE)}: expected the end"),
        (BLOCK, f"offset {len(BLOCK)}: expected the certificate of the last block, got the end"),
        (BLOCK[:-1], f"not a whole msgpack value.* the {len(BLOCK) - 1} bytes from there"),
        (BLOCK[:1], "not a whole msgpack value"),
        (BLOCK + b"\xdd\xff\xff\xff\xff" + CERTIFICATE, f"record 2 at offset {len(BLOCK)}"),
        (BLOCK + b"\x91" * 5000, "not a whole msgpack value"),
    ],
)
def test_what_is_not_an_export_is_refused_with_record_and_offset(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        read_export(data)


def test_longer_forms_of_the_same_values_are_refused() -> None:
    """The version 1 takes one byte; written in two it is the same number and another file."""
    head = BLOCK.index(b"\x01\xc4\x20")

    with pytest.raises(DecodeError, match=r"record 1 at offset 0: .* not canonical"):
        read_export(BLOCK[:head] + b"\xcc\x01" + BLOCK[head + 1 :] + CERTIFICATE)


@pytest.mark.parametrize("cut", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_scan_returns_what_stands_before_the_fault(cut: Callable[[bytes], bytes]) -> None:
    scan = scan_export(cut(export_of(ONE)))

    assert scan.blocks == tuple(ONE.blocks)
    assert scan.fault


def test_only_decode_errors_leave_the_reader(seed: int) -> None:
    rng = random.Random(seed)
    valid = export_of(stub_chain(2))
    for i in range(4_000):
        data = bytearray(rng.randbytes(rng.randrange(60)) if i % 4 == 0 else valid)
        for _ in range(rng.choice((0, 1, 3))):
            if data:
                place = rng.randrange(len(data))
                data[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        try:
            blocks, certificate = read_export(bytes(data))
        except DecodeError:
            continue
        file = BytesIO()
        write_export(file, blocks, certificate)
        assert file.getvalue() == data


def test_only_blocks_and_certificates_are_records() -> None:
    """Reading relies on both being told apart by their second byte."""
    for record, kind in ((ONE.blocks[0], Block), (ONE.certificates[0], QuorumCertificate)):
        assert encode(record)[0] & 0xF0 == 0x90
        assert encode(record)[1] == kind.KIND

"""A ledger as one file that anyone can check: its blocks in order, then the tip's certificate.

The file is the concatenated canonical encodings of block 1, block 2, ..., block H and of a COMMIT
certificate of height H; nothing stands before, between or after them (rule P2). Every byte is
therefore part of some record, and two ledgers with equal content have equal exports.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import msgpack

from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.kinds import RecordKind
from ledger.records import Block, QuorumCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportScan:
    """What could be read of an export: its whole records, and why reading stopped before the end.

    `fault` is empty when every byte was read as part of some record.
    """

    blocks: tuple[Block, ...]
    certificate: QuorumCertificate | None
    fault: str


def write_export(
    file: BinaryIO, blocks: Iterable[Block], certificate: QuorumCertificate | None
) -> int:
    """Write an export to an open binary file and return its length in bytes.

    Args:
        file: Where to write; the caller opens and closes it.
        blocks: Blocks 1 to H in order.
        certificate: The certificate of height H; None for a ledger without blocks.
    """
    length = 0
    for block in blocks:
        length += file.write(encode(block))
    if certificate is not None:
        length += file.write(encode(certificate))
    return length


def read_export(data: bytes) -> tuple[tuple[Block, ...], QuorumCertificate | None]:
    """Read an export strictly: every byte belongs to a block or to the one last certificate.

    Returns:
        The blocks in file order and the certificate; no blocks and None for an empty file.

    Raises:
        DecodeError: If anything else stands in it; the text names record and offset.
    """
    scan = scan_export(data)
    if scan.fault:
        raise DecodeError(scan.fault)
    if scan.blocks and scan.certificate is None:
        end = f"offset {len(data)}"
        raise DecodeError(f"{end}: expected the certificate of the last block, got the end")
    return scan.blocks, scan.certificate


def scan_export(data: bytes) -> ExportScan:
    """Read an export as far as it can be read, for an auditor who wants all findings."""
    blocks: list[Block] = []
    certificate: QuorumCertificate | None = None
    offset = 0
    fault = ""
    boundaries = _Boundaries(data)
    while offset < len(data) and certificate is None:
        try:
            end = boundaries.next_end()
            record = _read_record(data[offset:end])
        except DecodeError as error:
            fault = (
                f"record {len(blocks) + 1} at offset {offset}: {error};"
                f" the {len(data) - offset} bytes from there were not read"
            )
            break
        if isinstance(record, Block):
            blocks.append(record)
        else:
            certificate = record
        offset = end
    if not fault and offset < len(data):
        fault = (
            f"offset {offset}: expected the end of the file after the certificate,"
            f" got {len(data) - offset} more bytes"
        )
    return ExportScan(blocks=tuple(blocks), certificate=certificate, fault=fault)


def _read_record(data: bytes) -> Block | QuorumCertificate:
    # A record is an array whose first item is its kind: one byte each for both of ours.
    kind = data[1] if len(data) > 1 else None
    if kind == RecordKind.BLOCK:
        return decode(Block, data)
    if kind == RecordKind.CERTIFICATE:
        return decode(QuorumCertificate, data)
    raise DecodeError(
        f"expected a block (kind {RecordKind.BLOCK}) or a certificate"
        f" (kind {RecordKind.CERTIFICATE}), got kind {kind}"
    )


class _Boundaries:
    """Finds where each msgpack value of a file ends, without building the values."""

    def __init__(self, data: bytes) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=len(data) + 1)
        self._unpacker.feed(data)

    def next_end(self) -> int:
        """Return the offset after the next value.

        Raises:
            DecodeError: If no whole value follows.
        """
        try:
            self._unpacker.skip()
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise DecodeError(f"not a whole msgpack value: {type(error).__name__}") from None
        end: int = self._unpacker.tell()
        return end

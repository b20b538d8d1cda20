"""The tip of a ledger as text that people can compare and programs can check (rule P55).

A checkpoint of height h states the RFC 6962 root over the ids of the blocks 1 to h, in the form of
C2SP tlog-checkpoint: three lines and, after an empty one, signature lines as in C2SP signed-note.

    fednode/<chain id in hexadecimal digits>
    <h>
    <root in base64>

    — fednode/<chain id> <base64 of key id and anchor>

No member signs these lines: its key signs slots of the protocol and nothing else (rule P60). The
signature line is therefore of a type of our own. Its key is the chain id, and its bytes are the
anchor (`ledger.anchors`): header and certificate of block h with the log before it, from which the
three lines follow. Lines of other signers, such as witnesses, may stand beside it.

References:
    c2sp.org/tlog-checkpoint and c2sp.org/signed-note (signature type 0xff).
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ledger.anchors import Anchor, Anchored, check_anchor
from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.findings import Finding
from ledger.genesis import Contract, chain_id
from ledger.keys import ED25519, SignatureScheme
from ledger.merkle import ProofError, root
from ledger.records import Block, block_id

CHECKPOINT_BYTES_MAX: Final = 16 * 2**20
SIGNATURES_MAX: Final = 64
SIGNATURE_TYPE: Final = b"\xff" + b"fednode-anchor/1"
KEY_ID_BYTES: Final = 4
DIGEST_BYTES: Final = 32
LINES_MIN: Final = 6
"""Three lines, an empty one, one signature, and nothing after the last line's end."""
_ORIGIN: Final = re.compile(r"fednode/([0-9a-f]{64})")
_SIZE: Final = re.compile(r"[1-9][0-9]{0,18}")
_SIGNATURE: Final = re.compile(r"\u2014 ([^\s+\x00-\x1f]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as it was read; nothing about it is believed yet.

    Attributes:
        chain_id: The chain that it names.
        size: Height of the last block that it covers.
        root: The root over the ids of the blocks 1 to `size`.
        signatures: The signature lines, without their line ends.
    """

    chain_id: bytes
    size: int
    root: bytes
    signatures: tuple[str, ...]

    @property
    def text(self) -> str:
        """The three lines that the signatures are about."""
        root_text = b64encode(self.root).decode("ascii")
        return f"{origin(self.chain_id)}\n{self.size}\n{root_text}\n"


def origin(chain: bytes) -> str:
    """Return the first line of every checkpoint of a chain."""
    return f"fednode/{chain.hex()}"


def make_checkpoint(anchored: Anchored, anchor: Anchor) -> Checkpoint:
    """Return the checkpoint of the block that a checked anchor ends at."""
    chain = anchored.header.chain_id
    payload = b64encode(_key_id(chain) + encode(anchor)).decode("ascii")
    return Checkpoint(
        chain_id=chain,
        size=anchored.header.height,
        root=anchored.root,
        signatures=(f"\u2014 {origin(chain)} {payload}",),
    )


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a checkpoint's file."""
    lines = "".join(f"{line}\n" for line in checkpoint.signatures)
    return f"{checkpoint.text}\n{lines}".encode()


def decode_checkpoint(data: bytes) -> Checkpoint:
    """Read a checkpoint in its one form; extension lines are not part of it.

    Raises:
        DecodeError: If it is not a checkpoint of a chain like ours.
    """
    if len(data) > CHECKPOINT_BYTES_MAX:
        raise DecodeError(f"expected at most {CHECKPOINT_BYTES_MAX} bytes, got {len(data)}")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DecodeError(f"the checkpoint is not UTF-8 at byte {error.start}") from None
    if len(lines) < LINES_MIN:
        raise DecodeError(f"expected at least {LINES_MIN - 1} lines, got {len(lines) - 1}")
    first, size, top, empty, *signatures, end = lines
    named = _ORIGIN.fullmatch(first)
    if named is None or not _SIZE.fullmatch(size):
        raise DecodeError("expected the lines 'fednode/<chain id>' and a size of at least 1")
    if empty or end or not 0 < len(signatures) <= SIGNATURES_MAX:
        raise DecodeError(f"expected an empty line and 1 to {SIGNATURES_MAX} signature lines")
    for number, line in enumerate(signatures, start=1):
        if not _SIGNATURE.fullmatch(line):
            raise DecodeError(f"signature line {number} is not '\u2014 <name> <base64>'")
    stated = _base64(top, "the root")
    if len(stated) != DIGEST_BYTES:
        raise DecodeError(f"expected a root of {DIGEST_BYTES} bytes, got {len(stated)}")
    return Checkpoint(
        chain_id=bytes.fromhex(named[1]),
        size=int(size),
        root=stated,
        signatures=tuple(signatures),
    )


DECODERS: Final = (("checkpoint", decode_checkpoint, encode_checkpoint),)


def check_checkpoint(
    contract: Contract, checkpoint: Checkpoint, *, scheme: SignatureScheme = ED25519
) -> Anchored:
    """Check that a quorum decided the block of a checkpoint and that its lines follow from it.

    Raises:
        ProofError: If it is of another chain, not certified, or its size or root is another.
    """
    if checkpoint.chain_id != chain_id(contract):
        raise ProofError("the checkpoint is of another chain than the genesis")
    anchored = check_anchor(contract, _anchor_of(checkpoint), scheme=scheme)
    if (anchored.header.height, anchored.root) != (checkpoint.size, checkpoint.root):
        raise ProofError("the lines of the checkpoint do not follow from its certified block")
    return anchored


def checkpoint_findings(
    contract: Contract,
    checkpoint: Checkpoint,
    blocks: Sequence[Block],
    *,
    scheme: SignatureScheme = ED25519,
) -> tuple[Finding, ...]:
    """Return what is wrong with a checkpoint, or with a ledger that should contain its log."""
    try:
        check_checkpoint(contract, checkpoint, scheme=scheme)
    except ProofError as error:
        return (Finding(height=0, field="checkpoint", rule="P55", text=str(error)),)
    if checkpoint.size > len(blocks):
        why = f"the checkpoint covers {checkpoint.size} blocks, the ledger ends after {len(blocks)}"
    elif root([block_id(each.header) for each in blocks[: checkpoint.size]]) != checkpoint.root:
        why = "the ledger has other blocks up to here than the checkpoint"
    else:
        return ()
    return (Finding(height=checkpoint.size, field="checkpoint", rule="P55", text=why),)


def _anchor_of(checkpoint: Checkpoint) -> Anchor:
    """The anchor in the one signature line whose name and key id are those of the chain."""
    payloads = []
    for line in checkpoint.signatures:
        _, name, encoded = line.split(" ")
        try:
            data = _base64(encoded, "the signature")
        except DecodeError:
            continue  # a line of somebody else's: lines of unknown keys are ignored
        if name == origin(checkpoint.chain_id) and data.startswith(_key_id(checkpoint.chain_id)):
            payloads.append(data[KEY_ID_BYTES:])
    if len(payloads) != 1:
        raise ProofError(f"expected one signature line of the chain itself, got {len(payloads)}")
    try:
        return decode(Anchor, payloads[0])
    except DecodeError as error:
        raise ProofError(f"the signature line of the chain: {error}") from None


def _key_id(chain: bytes) -> bytes:
    key = origin(chain).encode("ascii") + b"\n" + SIGNATURE_TYPE + chain
    return sha256(key).digest()[:KEY_ID_BYTES]


def _base64(text: str, what: str) -> bytes:
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError) as error:
        raise DecodeError(f"{what} is not base64: {error}") from None
    if b64encode(data).decode("ascii") != text:
        raise DecodeError(f"{what} is not the one base64 form of its bytes")
    return data

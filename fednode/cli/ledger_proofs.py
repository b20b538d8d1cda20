"""`fednode ledger checkpoint, prove, check-proof, forensics`: evidence for people outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli.failures import ExitCode
from fednode.cli.ledger_options import (
    CheckpointOption,
    GenesisOption,
    LeftLedger,
    RequiredGenesis,
    RightLedger,
    Source,
)
from fednode.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from fednode.cli.ledger_views import Content
    from ledger.comparison import ForkEvidence


def checkpoint(
    source: Source,
    *,
    height: Annotated[
        int, typer.Option(help="Height of its last block; left out: the last.", min=0)
    ] = 0,
    genesis: GenesisOption = None,
    out: Annotated[Path | None, typer.Option(help="File to write.", metavar="FILE")] = None,
) -> None:
    """State the log of blocks up to a height as a C2SP checkpoint: three lines and their proof.

    Whoever keeps the text can later tell whether a ledger still contains the same blocks.

    Example: fednode ledger checkpoint north --out north.checkpoint
    """
    from fednode.cli.ledger_audit import read_valid
    from fednode.errors import ConfigError
    from fednode.founding.genesis_files import save_new
    from ledger.anchors import check_anchor, make_anchor
    from ledger.checkpoint import encode_checkpoint, make_checkpoint

    of, content = read_valid(source, genesis)
    last = len(content.blocks)
    chosen = height or last
    if not 1 <= chosen <= last:
        raise ConfigError(f"expected a height from 1 to {last}, got {chosen}; name another")
    anchor = make_anchor(of.contract, content.blocks, content.certificate, chosen)
    made = make_checkpoint(check_anchor(of.contract, anchor), anchor)
    if out is None:
        print(encode_checkpoint(made).decode("utf-8"), end="")
        return
    save_new(out, encode_checkpoint(made))
    print(made.text, end="")


def prove(
    source: Source,
    *,
    height: Annotated[int, typer.Option(help="Height of the block.", min=1)],
    member: Annotated[str, typer.Option(help="Number or name of the hospital.")],
    out: Annotated[Path, typer.Option(help="File to write.", metavar="FILE")],
    genesis: GenesisOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Write the proof that a block counted one member's update, and with what weight.

    With a checkpoint that the reader already has, it also proves that the ledger continues it.

    Example: fednode ledger prove north --height 5 --member south --out south-5.proof
    """
    from fednode.cli.ledger_audit import read_valid
    from fednode.founding.genesis_files import read_public_file, save_new
    from ledger.checkpoint import decode_checkpoint
    from ledger.encoding import encode
    from ledger.proofs import Chain, prove_update

    of, content = read_valid(source, genesis)
    known = (
        None
        if checkpoint is None
        else decode_checkpoint(read_public_file(checkpoint, "a checkpoint"))
    )
    number = _member_number(content.names, member)
    chain = Chain(contract=of.contract, blocks=content.blocks, certificate=content.certificate)
    data = encode(prove_update(chain, height=height, member=number, known=known))
    save_new(out, data)
    print(f"{out}: update of {content.name_of(number)} in block {height}, {len(data)} bytes")


def check_proof(
    proof: Annotated[Path, typer.Argument(help="File that 'prove' wrote.", metavar="PROOF")],
    *,
    genesis: RequiredGenesis,
    checkpoint: CheckpointOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a proof offline, from the genesis alone. Exit code 0 only if it holds.

    The same as 'python -m ledger check-proof', which needs msgpack and pynacl only.

    Example: fednode ledger check-proof south-5.proof --genesis genesis.fed
    """
    from fednode.founding.genesis_files import decode_genesis, read_public_file
    from ledger.__main__ import check_proof as check

    known = None if checkpoint is None else read_public_file(checkpoint, "a checkpoint")
    lines, data = check(decode_genesis(genesis), read_public_file(proof, "a proof"), known)
    if as_json:
        print_json(data)
    else:
        print("\n".join(lines))
    if not data["holds"]:
        raise typer.Exit(ExitCode.NO)


def forensics(
    left: LeftLedger,
    right: RightLedger,
    *,
    genesis: RequiredGenesis,
    as_json: JsonOption = False,
) -> None:
    """Compare two ledgers that both hold: where they fork, and who signed both sides.

    Exit code 0: one continues the other; 1: they fork.

    Example: fednode ledger forensics a.fed b.fed --genesis genesis.fed
    """
    from fednode.cli.ledger_audit import read_valid
    from ledger.comparison import first_difference, fork_evidence

    of, one = read_valid(left, genesis)
    _, other = read_valid(right, genesis)
    found = first_difference(one.blocks, other.blocks)
    if found is None or not found.is_fork:
        lengths = {"left_height": len(one.blocks), "right_height": len(other.blocks)}
        ending = "both end" if found is None else "one of them ends"
        if as_json:
            print_json({"is_fork": False, **lengths})
        else:
            print(f"no fork: equal up to height {min(lengths.values())}, where {ending}")
        return
    left_certificate = one.certificate_of(found.height)
    right_certificate = other.certificate_of(found.height)
    assert left_certificate is not None  # both ledgers hold
    assert right_certificate is not None
    common = one.blocks[: found.height - 1]
    evidence = fork_evidence(of.contract, common, left_certificate, right_certificate)
    if as_json:
        print_json(_evidence_data(one, evidence))
    else:
        _print_evidence(one, evidence)
    raise typer.Exit(ExitCode.NO)


def _member_number(names: Sequence[str], text: str) -> int:
    from fednode.errors import ConfigError

    if text in names:
        # An organisation that came back has its name twice; the number tells its admissions apart.
        return names.index(text)
    numbers = [str(number) for number in range(len(names))]
    if text in numbers:
        return numbers.index(text)
    raise ConfigError(
        f"expected the number or name of a member, got {text!r}; they are "
        + ", ".join(f"{number} {name}" for number, name in enumerate(names))
    )


def _meaning(evidence: "ForkEvidence") -> tuple[str, ...]:
    """What the certificates prove, and what they cannot."""
    if evidence.is_conclusive:
        return (
            "Both were decided in one view: whoever is in both certificates signed two COMMITs of",
            "one view, which no honest node ever does. These signatures alone prove it.",
        )
    return (
        "They were decided in different views. Whoever signed the later one was locked on the",
        "other block, but may have been released honestly, by a quorum of PREPAREs that liars took",
        "part in. The liars are a third of the power among those who prepared the later block",
        "against their lock; only the PREPARE certificates of the views between name them, and",
        "ledgers do not hold these. Ask the members for what their nodes kept.",
    )


def _evidence_data(content: "Content", evidence: "ForkEvidence") -> dict[str, object]:
    return {
        "is_fork": True,
        "height": evidence.height,
        "left": {"block_id": evidence.left_id.hex(), "view": evidence.left_view},
        "right": {"block_id": evidence.right_id.hex(), "view": evidence.right_view},
        "signed_both": [
            {
                "number": each.member,
                "name": content.name_of(each.member),
                "power": each.power,
            }
            for each in evidence.both
        ],
        "power": evidence.power,
        "total_power": evidence.total_power,
        "is_a_third": evidence.is_a_third,
        "is_conclusive": evidence.is_conclusive,
        "meaning": " ".join(_meaning(evidence)),
    }


def _print_evidence(content: "Content", evidence: "ForkEvidence") -> None:
    print(f"FORK at height {evidence.height}")
    sides = (
        ("A", evidence.left_id.hex(), evidence.left_view),
        ("B", evidence.right_id.hex(), evidence.right_view),
    )
    print_table(("", "block", "view"), sides)
    print()
    rows = [(each.member, content.name_of(each.member), each.power) for each in evidence.both]
    print_table(("", "in both certificates", "power"), rows)
    third = "a third or more" if evidence.is_a_third else "less than a third"
    print(f"together {evidence.power} of {evidence.total_power}: {third}\n")
    print("\n".join(_meaning(evidence)))

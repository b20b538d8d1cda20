"""A chain that goes on from an earlier one, whose members are gone for good (rule P1)."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from ledger.__main__ import EXIT_FINDINGS, EXIT_HOLDS, EXIT_USAGE, main
from ledger.continuation import continuation_findings, continues_after, models_left
from ledger.encoding import encode
from ledger.errors import ContractError
from ledger.genesis import Continues, Contract
from ledger.genesis_rules import check_contract
from tests.support.feedback import add_judged, judging_network
from tests.support.forgery import Forgery
from tests.support.ledger import Chain, chain, contract, digest, genesis, keys

NAMED = 2


@cache
def earlier() -> Chain:
    return chain(3)


def following(**changes: object) -> Contract:
    """The contract of those who are left: three of four."""
    state = earlier().states[NAMED]
    named = replace(continues_after(state, state.model_id), **changes)  # type: ignore[arg-type]  # by name
    terms = contract(3)
    model = replace(terms.model, initial_model_id=named.model_id)
    return replace(terms, model=model, continues=(named,))


def found(of: Contract, made: Chain | None = None) -> list[str]:
    old = made or earlier()
    founded = genesis(old.contract, old.keys)
    findings = continuation_findings(of, founded, old.blocks, old.certificate)
    return [each.field for each in findings]


def test_a_contract_may_name_a_block_of_an_earlier_chain_and_its_model() -> None:
    old = earlier()

    assert found(following()) == []
    check_contract(following())
    assert following().continues[0].model_id == old.blocks[NAMED - 1].header.results.model_id


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"chain_id": digest("other")}, "continues.chain_id"),
        ({"height": 1}, "continues.block_id"),
        ({"height": 9}, "continues.height"),
        ({"block_id": digest("other")}, "continues.block_id"),
        ({"model_id": digest("other")}, "continues.model_id"),
    ],
)
def test_what_the_earlier_chain_does_not_say_is_found(
    changes: dict[str, object], field: str
) -> None:
    assert field in found(following(**changes))


def test_the_model_means_what_it_meant_under_the_earlier_contract() -> None:
    terms = following()
    data = replace(terms.data, label="another")
    model = replace(terms.model, architecture="another")

    assert found(replace(terms, data=data)) == ["data"]
    assert found(replace(terms, model=model)) == ["model.architecture"]


def test_a_chain_is_continued_with_its_last_model_or_the_best_by_its_members() -> None:
    """Rules P1 and P16."""
    judging, plain = judging_network(blocks=2), earlier()
    add_judged(judging, dict.fromkeys(range(4), 5))

    best, last = judging.state.best, judging.state.model_id

    assert (best.height, best.model_id == last) == (2, False)
    assert set(models_left(judging.contract, judging.state)) == {last, best.model_id}
    assert models_left(plain.contract, plain.state) == (plain.state.model_id,)


def test_an_earlier_chain_that_does_not_hold_is_found() -> None:
    old = earlier()
    forged = replace(old.blocks[0], haves=old.blocks[0].haves[:3])
    broken = replace(old, blocks=[forged, *old.blocks[1:]])

    assert "earlier.haves_root" in found(following(), broken)


def test_a_contract_that_names_no_chain_continues_none() -> None:
    assert found(contract(3)) == ["continues"]


def test_the_initial_model_is_that_of_the_earlier_chain() -> None:
    other = Continues(
        chain_id=digest("chain"), height=0, block_id=digest("block"), model_id=digest("model")
    )

    with pytest.raises(ContractError, match=r"expected the initial model(.|\n)*at least 1, got 0"):
        check_contract(replace(contract(3), continues=(other,)))


def test_the_command_audits_both_chains_or_says_that_it_did_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = earlier(), chain(2, of=following())
    for name, made in (("old", old), ("new", new)):
        founded = genesis(made.contract, keys(len(made.contract.members)))
        (tmp_path / f"{name}.genesis").write_bytes(encode(founded))
        export = Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export
        (tmp_path / f"{name}.export").write_bytes(export)
    own = ["verify", str(tmp_path / "new.export"), "--genesis", str(tmp_path / "new.genesis")]
    before = ["--continues", str(tmp_path / "old.export")]
    both = [*before, "--continues-genesis", str(tmp_path / "old.genesis")]
    swapped = [*before, "--continues-genesis", str(tmp_path / "new.genesis")]

    codes = [main([*own, *more]) for more in ([], both, swapped, before)]

    assert codes == [EXIT_HOLDS, EXIT_HOLDS, EXIT_FINDINGS, EXIT_USAGE]
    said = capsys.readouterr().out.split("This audit cannot know:")
    assert "the earlier chain that the contract continues was not checked" in said[1]
    assert "the earlier chain that the contract continues was not checked" not in said[2]

    assert main([*own, *swapped]) == EXIT_FINDINGS
    assert "was not checked" not in capsys.readouterr().out


@pytest.mark.parametrize("spoiled", ["old.genesis", "old.export"])
def test_a_file_of_the_earlier_chain_that_cannot_be_read_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoiled: str
) -> None:
    """Rule P2: never a traceback."""
    old, new = earlier(), chain(1, of=following())
    for name, made in (("old", old), ("new", new)):
        founded = genesis(made.contract, keys(len(made.contract.members)))
        (tmp_path / f"{name}.genesis").write_bytes(encode(founded))
        export = Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export
        (tmp_path / f"{name}.export").write_bytes(export)
    (tmp_path / spoiled).write_bytes(b"neither of the two")
    arguments = ["verify", str(tmp_path / "new.export"), "--genesis", str(tmp_path / "new.genesis")]
    arguments += ["--continues", str(tmp_path / "old.export")]
    arguments += ["--continues-genesis", str(tmp_path / "old.genesis")]

    code = main(arguments)

    assert code == EXIT_FINDINGS
    assert "height 0 field continues rule P2: " in capsys.readouterr().out

"""Deep audit, diff, import and prune by commands (rules P53, P54)."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from fednode import deep_audit
from fednode.blockwork import aggregate_bodies
from fednode.errors import ConfigError
from ledger.bodies import encode_update_body
from ledger.building import expected_weights
from ledger.errors import DecodeError, StorageError
from ledger.genesis import Contract
from ledger.lock import FolderLock
from ledger.records import VALUE_MAX, Flag
from ledger.state import initial_state
from ledger.store import DATABASE_NAME, Ledger
from tests.fednode.cli.support import SITES, TRAINING_ROUNDS, Made, invoke, json_of
from tests.fednode.cli.test_ledger_proofs import forks
from tests.fednode.founding.support import found


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A member's folder that a test may change."""
    return Path(shutil.copytree(made.member(0), tmp_path / "copy"))


@pytest.fixture
def file(made: Made, tmp_path: Path) -> Path:
    invoke("ledger", "export", made.member(0), "--out", tmp_path / "x.fed")
    return tmp_path / "x.fed"


def update_ids(folder: Path, height: int) -> list[str]:
    with Ledger.open(folder, read_only=True) as ledger:
        block = ledger.block_at(height)
    return [each.statement.update_id.hex() for each in block.updates]


def model_ids(folder: Path) -> list[str]:
    return [each["model_id"] for each in json_of("ledger", "log", folder)]


def test_a_deep_audit_recomputes_every_result(made: Made) -> None:
    result = invoke("ledger", "verify", made.member(0), "--deep")
    lines = result.output.splitlines()

    assert result.exit_code == 0
    assert lines[-1] == "every check holds"
    assert f"results   recomputed from the updates in {TRAINING_ROUNDS} training rounds" in lines
    assert "this audit read the update that each hospital sent" in result.output


def test_a_deep_audit_of_a_file_takes_the_bodies_of_a_member(made: Made, file: Path) -> None:
    arguments = ("ledger", "verify", file, "--genesis", made.genesis_file, "--deep")

    result = invoke(*arguments, "--bodies", made.member(3))

    assert result.exit_code == 0
    with pytest.raises(ConfigError, match="expected --bodies for a deep audit of an exported file"):
        invoke(*arguments)


def test_a_deep_audit_lists_the_heights_whose_bodies_are_missing(copy: Path) -> None:
    first, *_ = update_ids(copy, 2)
    (copy / "blobs" / first).unlink()

    result = invoke("ledger", "verify", copy, "--deep")
    light = invoke("ledger", "verify", copy)

    assert result.exit_code == 1
    assert "NOT RECOMPUTED: bodies of heights 2 are missing" in result.output
    assert "every check holds" not in result.output
    assert light.exit_code == 0


def test_a_damaged_body_is_missing_and_no_update_of_anybody_else(copy: Path) -> None:
    first, second, *_ = update_ids(copy, 1)
    shutil.copy(copy / "blobs" / second, copy / "blobs" / first)

    result = invoke("ledger", "verify", copy, "--deep")

    assert result.exit_code == 1
    assert "bodies of heights 1 are missing" in result.output


def test_a_deep_audit_finds_a_result_that_the_rule_does_not_give(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the members had aggregated by another rule than this program."""

    def other(
        contract: Contract, weights: Sequence[int], base: bytes, bodies: Sequence[bytes]
    ) -> tuple[tuple[Flag, ...], bytes]:
        flags, model = aggregate_bodies(contract, weights, base, bodies)
        return tuple(Flag.OUTLIER for _ in flags), model

    monkeypatch.setattr("fednode.deep_audit.aggregate_bodies", other)

    result = invoke("ledger", "verify", made.member(0), "--deep")

    assert result.exit_code == 1
    assert "field results.contributions rule P13: recomputed" in result.output


def test_a_deep_audit_refuses_a_body_that_no_member_may_list(made: Made) -> None:
    contract = made.genesis.contract
    with Ledger.open(made.member(0), read_only=True) as ledger:
        block = ledger.block_at(1)
    state, blobs = initial_state(contract), made.member(0) / "blobs"
    weighted = expected_weights(contract, state, block.haves, block.updates)
    ids = [each.statement.update_id for each, _ in weighted]
    base = (blobs / state.model_id.hex()).read_bytes()
    bodies = [(blobs / each.hex()).read_bytes() for each in ids]
    too_large = (VALUE_MAX + 1).to_bytes(4, "little") * contract.model.n_elements
    forged = encode_update_body(bytes(32), contract.model.tensors, too_large)

    results, _ = deep_audit._recompute(contract, state, weighted, base, tuple(bodies))

    assert results == block.header.results
    with pytest.raises(DecodeError, match="expected values within"):
        deep_audit._recompute(contract, state, weighted, base, (forged, *bodies[1:]))


def test_a_deep_audit_is_not_begun_after_findings(made: Made, tmp_path: Path) -> None:
    other = found(tmp_path, ("a", "b", "c", "d")).members[0].config.node.genesis_file

    result = invoke("ledger", "verify", made.member(0), "--deep", "--genesis", other)

    assert result.exit_code == 1
    assert "as certified, not recomputed" in result.output


def test_ledgers_of_two_members_are_equal(made: Made) -> None:
    result = invoke("ledger", "diff", made.member(0), made.member(SITES - 1))

    assert (result.exit_code, result.output) == (0, f"equal: {TRAINING_ROUNDS} blocks\n")
    assert json_of("ledger", "diff", made.member(0), made.member(1)) == {
        "is_equal": True,
        "difference": None,
    }


def test_a_ledger_that_ends_earlier_differs_at_the_next_height(made: Made, tmp_path: Path) -> None:
    invoke("ledger", "export", made.member(0), "--through", 1, "--out", tmp_path / "x")

    ends = invoke("ledger", "diff", tmp_path / "x", made.member(1))
    goes_on = invoke("ledger", "diff", made.member(1), tmp_path / "x")
    data = json_of("ledger", "diff", made.member(1), tmp_path / "x")

    assert (ends.exit_code, goes_on.exit_code) == (1, 1)
    assert ends.output == "equal up to height 1, where A ends; B has 3\n"
    assert goes_on.output == "equal up to height 1, where B ends; A has 3\n"
    assert data["difference"]["height"] == 2


def test_blocks_that_differ_are_shown_field_by_field(tmp_path: Path) -> None:
    _, left, right = forks(tmp_path, view=0)

    result = invoke("ledger", "diff", left, right)

    assert result.exit_code == 1
    assert result.output.startswith("the blocks of height 3 differ, those below are equal\n")
    assert "results.contributions" in result.output


def test_an_imported_ledger_is_the_exported_one(made: Made, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"

    result = invoke("ledger", "import", file, "--genesis", made.genesis_file, "--dir", folder)
    names = {path.name for path in folder.iterdir()}
    again = tmp_path / "again.fed"
    invoke("ledger", "export", folder, "--out", again)

    assert result.exit_code == 0
    assert "no signing record" in result.output
    assert again.read_bytes() == file.read_bytes()
    assert names == {DATABASE_NAME, "lock"}
    with Ledger.open(folder) as ledger, Ledger.open(made.member(0), read_only=True) as original:
        assert ledger.state == original.state
        assert ledger.load_record() is None


def test_an_import_never_replaces_a_ledger(made: Made, file: Path, copy: Path) -> None:
    with pytest.raises(ConfigError, match="a ledger is never replaced"):
        invoke("ledger", "import", file, "--genesis", made.genesis_file, "--dir", copy)


def test_nothing_is_imported_from_a_file_that_does_not_hold(
    made: Made, file: Path, tmp_path: Path
) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    cut = tmp_path / "cut"
    cut.write_bytes(data[: len(data) // 2])

    with pytest.raises(ConfigError, match="expected a ledger that holds"):
        invoke("ledger", "import", file, "--genesis", made.genesis_file, "--dir", tmp_path / "n")
    with pytest.raises(DecodeError):
        invoke("ledger", "import", cut, "--genesis", made.genesis_file, "--dir", tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_an_interrupted_import_is_begun_again(made: Made, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    unfinished = folder / "import.part"
    unfinished.mkdir(parents=True)
    with Ledger.create(unfinished, made.genesis):
        pass

    result = invoke("ledger", "import", file, "--genesis", made.genesis_file, "--dir", folder)

    assert result.exit_code == 0
    assert len(json_of("ledger", "log", folder)) == TRAINING_ROUNDS


def test_prune_deletes_old_bodies_and_keeps_what_the_rules_name(made: Made, copy: Path) -> None:
    models = model_ids(copy)
    initial = made.genesis.contract.model.initial_model_id.hex()
    (copy / "blobs" / ("ab" * 32)).write_bytes(b"an update of a height that is not decided")

    result = invoke("ledger", "prune", copy, "--keep", 1)

    here = {path.name for path in (copy / "blobs").iterdir()}
    kept_updates = set(update_ids(copy, TRAINING_ROUNDS))
    # The last model, the base of its height, the best model (the initial one), and the unknown.
    assert here == {*kept_updates, models[-1], models[-2], initial, "ab" * 32}
    assert result.output.startswith("deleted ")
    assert invoke("ledger", "verify", copy).exit_code == 0


def test_what_was_pruned_is_missing_for_a_deep_audit_and_the_rest_is_not(copy: Path) -> None:
    invoke("ledger", "prune", copy, "--keep", 1)

    data = json_of("ledger", "verify", copy, "--deep")

    assert data["recomputed"] == [TRAINING_ROUNDS]
    assert data["missing"] == list(range(1, TRAINING_ROUNDS))
    assert not data["holds"]


def test_prune_keeps_all_that_it_is_told_to(copy: Path) -> None:
    before = {path.name for path in (copy / "blobs").iterdir()}

    tried = invoke("ledger", "prune", copy, "--keep", 1, "--dry-run")
    result = invoke("ledger", "prune", copy, "--keep", TRAINING_ROUNDS)

    assert tried.output.startswith("would delete ")
    assert result.output.startswith("deleted 0 bodies, 0 bytes;")
    assert {path.name for path in (copy / "blobs").iterdir()} == before


def test_prune_refuses_while_a_node_uses_the_folder(copy: Path) -> None:
    before = {path.name for path in (copy / "blobs").iterdir()}

    with FolderLock(copy), pytest.raises(StorageError, match="in use by process"):
        invoke("ledger", "prune", copy, "--keep", 1)

    assert {path.name for path in (copy / "blobs").iterdir()} == before


def test_prune_needs_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a member's folder"):
        invoke("ledger", "prune", tmp_path, "--keep", 1)
    assert list(tmp_path.iterdir()) == []

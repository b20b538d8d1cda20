"""`fednode genesis`: make, sign, show and compare contracts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fednode.cli import contract_options as option
from fednode.cli.failures import ExitCode
from fednode.cli.output import JsonOption, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fednode.founding.contracts import ContractOptions
    from fednode.founding.initial_model import Earlier
    from ledger.genesis import Contract, Genesis

app = typer.Typer(name="genesis", no_args_is_help=True, help="Make, sign and show the contract.")

DEFAULT_MODEL = "logistic"
GenesisFile = Annotated[Path, typer.Argument(help="A genesis file.", metavar="GENESIS")]


@app.command()
def create(
    cards: option.Cards,
    *,
    name: option.Title,
    out: option.GenesisOut = Path("genesis.fed"),
    model: option.Model = None,
    optimizer: option.Optimizer = "sgd",
    learner: option.Learner = "",
    initial_model: option.InitialModel = None,
    training_rounds: option.TrainingRounds = 10,
    rule: option.Rule = "nnm-geometric-median",
    learning_rate: option.LearningRate = 0.1,
    momentum: option.Momentum = 0.0,
    worker_momentum: option.WorkerMomentum = 0.0,
    batch_size: option.BatchSize = 16,
    local_steps: option.LocalSteps = 50,
    seed: option.Seed = 0,
    byzantine_budget: option.ByzantineBudget = None,
    trainer_budget: option.TrainerBudget = None,
    min_updates: option.MinUpdates = None,
    max_staleness: option.MaxStaleness = 1,
    metric: option.Metric = "-loss",
    patience: option.Patience = 3,
    tolerance: option.Tolerance = 0.05,
    collect_timeout: option.CollectTimeout = 60.0,
    view_timeout: option.ViewTimeout = 10.0,
    continues: option.Continues = None,
    continues_genesis: option.ContinuesGenesis = None,
    continues_model: option.ContinuesModel = None,
) -> None:
    """Make the contract from the members' cards, and the network key sealed for each of them.

    With --continues, --learner or --initial-model the initial model is written next to the key.

    Example: fednode genesis create *.card --name "Four hospitals" --training-rounds 20

    Example: fednode genesis create *.card --name "Ours" --learner my_learner.py:MyLearner
    """
    from fednode.cli.earlier_chain import read_earlier
    from fednode.founding.contracts import ContractOptions, timeouts_of

    chosen, learner_file = option.chosen_model(model, learner)
    earlier = read_earlier(continues, continues_genesis, continues_model)
    if earlier is not None and initial_model is not None:
        raise typer.BadParameter("expected --continues or --initial-model, got both")
    options = ContractOptions(
        name=name, learner_file=learner_file, initial_model=initial_model, optimizer=optimizer,
        model=chosen or (earlier.model.architecture if earlier else DEFAULT_MODEL),
        training_rounds=training_rounds, rule=rule, learning_rate=learning_rate, momentum=momentum,
        worker_momentum=worker_momentum, batch_size=batch_size, local_steps=local_steps, seed=seed,
        byzantine_budget=byzantine_budget, trainer_budget=trainer_budget, min_updates=min_updates,
        metric=metric, patience=patience, tolerance=tolerance, max_staleness=max_staleness,
        timeouts=timeouts_of(collect_timeout, view_timeout),
    )  # fmt: skip
    _create(cards, options, out, earlier)


def _create(
    cards: list[Path], options: "ContractOptions", out: Path, earlier: "Earlier | None"
) -> None:
    from secrets import token_bytes

    from fednode.config import INITIAL_MODEL_NAME, NETWORK_KEY_NAME
    from fednode.founding.cards import load_card
    from fednode.founding.contracts import make_contract
    from fednode.founding.genesis_files import check_absent, save_genesis, save_new
    from fednode.founding.initial_model import founders_model_file
    from fednode.founding.network_key import seal_network_key
    from fednode.wire.envelope import KEY_BYTES
    from ledger.genesis import Genesis

    files = [out, out.parent / NETWORK_KEY_NAME]
    model_path = out.parent / INITIAL_MODEL_NAME
    check_absent(*files, *([model_path] if earlier is not None else []))
    contract = make_contract([load_card(path) for path in cards], options, earlier)
    model_file = founders_model_file(contract, options.start, earlier)
    if model_file is not None:
        check_absent(model_path)
        files.append(model_path)
    genesis = Genesis(contract=contract, signatures=())
    save_genesis(out, genesis, is_new=True)
    save_new(files[1], seal_network_key(contract, token_bytes(KEY_BYTES)))
    if model_file is not None:
        save_new(model_path, model_file)
    if options.learner_file is not None:
        files.append(options.learner_file)
    _print_genesis(genesis)
    print()
    names = _listed([str(path) for path in files])
    print(f"Send {names} to every member, who runs 'fednode genesis sign'.")


def _listed(names: list[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1]))


@app.command()
def sign(
    path: GenesisFile,
    *,
    config: Annotated[
        Path | None, typer.Option(help="The member's node.toml; needed to sign.", metavar="FILE")
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(help="Copy that others signed; may be repeated.", metavar="GENESIS"),
    ] = None,
    continues: option.Continues = None,
    continues_genesis: option.ContinuesGenesis = None,
) -> None:
    """Show the contract, compare it with the own settings and data, and sign it in the file.

    Copies can be signed in parallel and merged: each member sends its copy back. A contract that
    continues an earlier network is compared with the ledger of that network, too.

    Example: fednode genesis sign genesis.fed --config node.toml

    Example: fednode genesis sign genesis.fed --merge north/genesis.fed --merge south/genesis.fed
    """
    from fednode.cli.earlier_chain import check_earlier
    from fednode.errors import ConfigError
    from fednode.founding.consent import merge_signatures, missing_signatures
    from fednode.founding.genesis_files import load_genesis, save_genesis

    if config is None and not merge:
        raise typer.BadParameter("expected --config to sign, or --merge to collect signatures")
    genesis = merge_signatures(load_genesis(path), [load_genesis(each) for each in merge or ()])
    if continues is not None:
        check_earlier(genesis.contract, continues, continues_genesis)
    elif genesis.contract.continues and config is not None:
        raise ConfigError(
            "expected --continues to sign a contract that continues an earlier network, got none; "
            "name that network's ledger: a member's folder or an exported file"
        )
    if config is not None:
        genesis = _sign(genesis, config)
    save_genesis(path, genesis)
    print(f"signatures missing: {', '.join(missing_signatures(genesis)) or 'none'}")


def _sign(genesis: "Genesis", config: Path) -> "Genesis":
    from fednode.config import load_config
    from fednode.founding.consent import number_of, sign_contract
    from fednode.founding.keys import load_key_file
    from fednode.founding.membership import (
        load_network_key,
        local_differences,
        refuse_differences,
    )

    settings = load_config(config)
    key = load_key_file(settings.node.key_file)
    _print_genesis(genesis)
    print()
    number = number_of(genesis.contract, key.public_key)
    refuse_differences(local_differences(settings, number, genesis.contract))
    signed = sign_contract(genesis, key.signing)
    print(f"signed as {settings.node.name}")
    if settings.node.network_key_file.exists():
        network_key = load_network_key(settings, key, genesis.contract)
        print(f"network key id {network_key.key_id.hex()}: compare it, and the chain id, by phone")
    return signed


@app.command()
def show(path: GenesisFile, *, as_json: JsonOption = False) -> None:
    """Show a contract: members, model, rule, what it tolerates, and who signed.

    Example: fednode genesis show genesis.fed --json
    """
    from fednode.founding.genesis_files import load_genesis

    genesis = load_genesis(path)
    if as_json:
        print_json(_genesis_data(genesis))
    else:
        _print_genesis(genesis)


@app.command()
def diff(
    left: GenesisFile,
    right: Annotated[Path, typer.Argument(help="Another genesis file.", metavar="OTHER")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare two contracts term by term; exit code 1 when they differ.

    Example: fednode genesis diff genesis.fed other.fed
    """
    from fednode.founding.genesis_files import load_genesis
    from fednode.founding.terms import contract_terms, differences

    found = differences(
        contract_terms(load_genesis(left).contract), contract_terms(load_genesis(right).contract)
    )
    if as_json:
        print_json([{"term": each.name, "left": each.left, "right": each.right} for each in found])
    elif found:
        rows = [(each.name, _shown(each.left), _shown(each.right)) for each in found]
        print_table(("term", str(left), str(right)), rows)
    else:
        print("the contracts are equal")
    if found:
        raise typer.Exit(ExitCode.NO)


def _shown(term: str | int | None) -> str:
    return "-" if term is None else str(term)


def _genesis_data(genesis: "Genesis") -> "Mapping[str, object]":
    from dataclasses import asdict

    from fednode.founding.consent import missing_signatures
    from fednode.founding.terms import contract_terms
    from ledger.genesis import chain_id
    from ledger.genesis_rules import fault_tolerance

    return {
        "chain_id": chain_id(genesis.contract).hex(),
        "signatures_missing": list(missing_signatures(genesis)),
        "fault_tolerance": asdict(fault_tolerance(genesis.contract)),
        "terms": contract_terms(genesis.contract),
    }


def _origin(contract: "Contract") -> str:
    """Where the initial model comes from."""
    from fednode.founding.initial_model import is_from_seed

    if contract.continues:
        (named,) = contract.continues
        return f"of chain {named.chain_id.hex()} after height {named.height}"
    return f"seed {contract.training.seed}" if is_from_seed(contract) else "the founders' file"


def _print_genesis(genesis: "Genesis") -> None:
    from fednode.founding.consent import missing_signatures
    from fednode.founding.terms import feedback_text, role_names, tolerance_lines
    from fednode.learning.models import is_built_in
    from ledger.genesis import chain_id

    contract = genesis.contract
    missing = set(missing_signatures(genesis))
    parameters = ", ".join(f"{each.name}={each.value}" for each in contract.aggregation.parameters)
    training = contract.training
    # What a person compares by eye: the file of a learner that members bring.
    own = (
        [("learner", training.learner_hash.hex())]
        if not is_built_in(contract.model.architecture)
        else []
    )
    print_pairs(
        [
            ("network", contract.name),
            ("chain id", chain_id(contract).hex()),
            ("model", f"{contract.model.architecture}, {contract.model.n_elements} parameters"),
            *own,
            ("initial", f"{contract.model.initial_model_id.hex()} ({_origin(contract)})"),
            ("label", f"{contract.data.label or 'last column'} {contract.data.positive}".strip()),
            ("features", len(contract.data.features)),
            (
                "training",
                f"{contract.training_rounds} training rounds of {training.local_steps} local steps "
                f"of {training.batch_size} rows, learning rate {training.learning_rate}",
            ),
            ("rule", f"{contract.aggregation.rule_id} ({parameters})"),
            ("feedback", feedback_text(contract)),
            ("privacy", contract.privacy),
        ]
    )
    rows = [
        (
            number,
            member.name,
            role_names(member.roles),
            member.samples,
            member.public_key.hex()[:16],
            "no" if member.name in missing else "yes",
        )
        for number, member in enumerate(contract.members)
    ]
    print()
    print_table(("", "member", "roles", "samples", "key", "signed"), rows)
    print()
    for line in tolerance_lines(contract):
        print(line)

"""`fednode member card`, `join` and `invite`: how a newcomer gets in."""

from pathlib import Path
from typing import Annotated

import typer

from fednode.cli.member_options import NODE_TOML, WAIT_S, Config, Wait
from fednode.cli.output import print_pairs


def card(
    *,
    height: Annotated[
        int, typer.Option(help="The network's height now, as the sponsor's status shows it.", min=0)
    ],
    config: Config = NODE_TOML,
    out: Annotated[
        Path | None, typer.Option(help="File to write; left out: NAME.join.", metavar="FILE")
    ] = None,
    trainer_only: Annotated[
        bool, typer.Option("--trainer-only", help="Train, but do not vote.")
    ] = False,
) -> None:
    """Make the card by which a newcomer asks a member to take it in.

    Needs the folder of 'fednode init' and the network's genesis file in it. With rows held out
    ('fednode init --hold-out', the share of the network) it asks to judge models on them too.

    Example: fednode member card --config west/node.toml --height 120
    """
    from fednode.changes.join_card import make_join_card
    from fednode.config import load_config
    from fednode.founding.card_files import write_card
    from fednode.founding.genesis_files import load_genesis
    from fednode.founding.keys import load_key_file
    from fednode.founding.members import card_name

    settings = load_config(config)
    key = load_key_file(settings.node.key_file)
    contract = load_genesis(settings.node.genesis_file).contract
    made = make_join_card(
        settings, key.signing, contract, height=height, is_validator=not trainer_only
    )
    path = out or config.parent / card_name(made.name).replace(".card", ".join")
    write_card(path, made)
    print_pairs(
        [
            ("join card", f"{path} (public: bring it to the member that sponsors you)"),
            ("network", contract.name),
            ("roles", ", ".join(each.replace("_", "-") for each in made.roles)),
            ("samples", made.samples),
            ("public key", made.public_key),
            ("valid until", f"height {made.expiry}"),
        ]
    )


def join(
    path: Annotated[Path, typer.Argument(help="The newcomer's join card.", metavar="CARD")],
    *,
    config: Config = NODE_TOML,
    wait: Wait = WAIT_S,
) -> None:
    """Sponsor a newcomer: approve its JOIN and tell the others, who must approve it too.

    Example: fednode member join west.join --config north/node.toml
    """
    from fednode.changes.outlook import look
    from fednode.changes.wishes import join_operation
    from fednode.cli.member_orders import offer

    outlook = look(config)
    offer(outlook, join_operation(outlook, path), wait_s=wait)


def invite(
    who: Annotated[str, typer.Argument(help="The newcomer's name or number.", metavar="MEMBER")],
    *,
    config: Config = NODE_TOML,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; left out: here.", metavar="DIR")
    ] = None,
) -> None:
    """Write the files that a newcomer needs once its JOIN is in a block: genesis and network key.

    Example: fednode member invite west --config north/node.toml --out for-west
    """
    from fednode.changes.outlook import find_member, look
    from fednode.changes.seals import write_invitation

    outlook = look(config)
    number = find_member(outlook, who)
    genesis, network_key = write_invitation(outlook, number, out or Path())
    name = outlook.state.membership.members[number].member.name
    print_pairs(
        [
            ("for", f"member {number}, {name}"),
            ("genesis", str(genesis)),
            ("network key", f"{network_key} (sealed for its key)"),
            ("next", "the newcomer puts both beside its node.toml and starts 'fednode run'"),
        ]
    )

"""`fednode member change`: other terms for the contract in force."""

from typing import Annotated

import typer

from fednode.cli.member_options import HEIGHTS, NODE_TOML, WAIT_S, Config, Heights, Wait

Number = int | None


def change(
    *,
    config: Config = NODE_TOML,
    training_rounds: Annotated[
        Number, typer.Option(help="How often updates are aggregated in all.", min=1)
    ] = None,
    min_updates: Annotated[Number, typer.Option(help="Fewest updates for a model.", min=1)] = None,
    byzantine_budget: Annotated[
        Number, typer.Option(help="Validators that may lie.", min=0)
    ] = None,
    trainer_budget: Annotated[Number, typer.Option(help="Trainers that may lie.", min=0)] = None,
    rule: Annotated[
        str | None, typer.Option(help="Aggregation rule: nnm-geometric-median or mean.")
    ] = None,
    collect_timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait for expected updates.", min=0.001)
    ] = None,
    view_timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait for a proposer.", min=0.001)
    ] = None,
    heights: Heights = HEIGHTS,
    wait: Wait = WAIT_S,
) -> None:
    """Ask the others for other terms; model, data and training stay what the founders signed.

    Example: fednode member change --training-rounds 40 --config north/node.toml
    """
    from fednode.changes.outlook import look
    from fednode.changes.wishes import change_operation
    from fednode.cli.member_orders import offer
    from fednode.founding.contracts import timeouts_of

    numbers = {
        "training_rounds": training_rounds,
        "min_updates": min_updates,
        "byzantine_budget": byzantine_budget,
        "trainer_budget": trainer_budget,
    }
    values = {name: value for name, value in numbers.items() if value is not None}
    outlook = look(config)
    waits = outlook.contract.timeouts
    if collect_timeout is not None or view_timeout is not None:
        made = timeouts_of(
            collect_timeout or waits.collect_ms / 1000, view_timeout or waits.propose_ms / 1000
        )
        fields = ("collect_ms", "collect_max_ms") if collect_timeout is not None else ()
        if view_timeout is not None:
            fields = (*fields, "propose_ms", "prepare_ms", "commit_ms", "view_max_ms")
            fields = (*fields, "have_grace_ms", "rebroadcast_ms")
        values |= {name: getattr(made, name) for name in fields}
    offer(outlook, change_operation(outlook, values, rule, heights), wait_s=wait)

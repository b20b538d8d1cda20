"""One member's node with an actor: `process.py ACTOR` and the arguments of `fednode`.

For tests only; what is shipped knows nothing of it.
"""

import sys
from pathlib import Path

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fednode import member
from fednode.assembly import Storage, Surroundings, build_node
from fednode.cli import main as run_command
from fednode.founding.membership import Membership
from fednode.node import Node
from tests.byzantine.actors.cast import make_actor
from tests.byzantine.actors.triggers import parse_trigger
from tests.byzantine.backstage import NodeStage
from tests.byzantine.wire_flooder import WireFlooder


def main() -> None:
    """Run `fednode` with an actor in the node that it builds."""
    part = sys.argv.pop(1)

    def build(membership: Membership, storage: Storage, around: Surroundings) -> Node:
        node = build_node(membership, storage, around)
        stage = NodeStage(node, membership, storage)
        name, _, trigger = part.partition(":")
        if name == WireFlooder.name:
            stage.enter(WireFlooder(stage), parse_trigger(trigger or "always"))
        else:
            stage.enter(*make_actor(part, stage))
        return node

    setattr(member, build_node.__name__, build)
    run_command()


if __name__ == "__main__":
    main()

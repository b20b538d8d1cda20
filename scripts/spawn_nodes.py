#!/usr/bin/env python3
"""Start the nodes of existing member folders against a broker that runs already, until Ctrl-C.

Every folder is one that `fednode init` made, with the genesis of one network in it:
`scripts/spawn_nodes.py --broker mqtt://127.0.0.1:1883 north south east west`.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from fednode.cli.failures import is_debugging, run_guarded
from fednode.cli.network_run import say
from fednode.testnet.peers import check_folders, point_peers, run_peers


def main() -> None:
    """Run the nodes; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a member's folder")
    parser.add_argument(
        "--broker", metavar="URL", help="write this broker into every node.toml before the start"
    )
    options = parser.parse_args()
    folders = [folder.absolute() for folder in options.folders]

    def run() -> None:
        check_folders(folders)
        if options.broker:
            point_peers(folders, options.broker)
        sys.exit(1 if asyncio.run(run_peers(folders, say)) else 0)

    sys.exit(run_guarded(run, debug=is_debugging(sys.argv)))


if __name__ == "__main__":
    main()

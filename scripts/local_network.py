#!/usr/bin/env python3
"""Broker, genesis, peers and verification in one: `scripts/local_network.py --nodes 4`.

The same as `fednode testnet`, whose options it takes.
"""

import sys

from fednode import cli


def main() -> None:
    """Hand the arguments to `fednode testnet`."""
    sys.argv[1:1] = ["testnet"]
    cli.main()


if __name__ == "__main__":
    main()

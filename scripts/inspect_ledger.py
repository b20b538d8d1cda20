#!/usr/bin/env python3
"""Look at a ledger from a checkout: `scripts/inspect_ledger.py log runs/demo/hospital-0`.

The same as `fednode ledger`, whose subcommands and options it takes.
"""

import sys

from fednode import cli


def main() -> None:
    """Hand the arguments to `fednode ledger`."""
    sys.argv[1:1] = ["ledger"]
    cli.main()


if __name__ == "__main__":
    main()

"""Start the command line with one thread per linear-algebra library."""

import os


def main() -> None:
    """Run the `fednode` command.

    The thread counts are settled before anything loads numpy: several nodes on one machine would
    otherwise each start a thread per core, and children inherit the same setting. A value that
    the operator has set stays.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from fednode import cli  # noqa: PLC0415  # numpy reads the two variables when it is loaded

    cli.main()


if __name__ == "__main__":
    main()

"""Run fault cases on real processes again and again; append one JSON line per run to a file.

Example: scripts/faults.py --repeat 5 --stop-seconds 60 --out runs/faults.jsonl
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.e2e.faults import cases, problems, run_case


def main() -> int:
    """Run the cases; the exit code is 1 if one of them did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help="part of the name of the cases to run; all unless given")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each case")
    parser.add_argument("--stop-seconds", type=float, default=60.0, help="length of the SIGSTOP")
    parser.add_argument("--out", type=Path, help="file that results are appended to")
    options = parser.parse_args()
    failed = 0
    for name, fault in cases(options.stop_seconds).items():
        if options.case and options.case not in name:
            continue
        for run in range(options.repeat):
            with tempfile.TemporaryDirectory(prefix="fednode-faults-") as folder:
                result = asyncio.run(run_case(Path(folder), fault))
            wrong = problems(result)
            failed += bool(wrong)
            line = json.dumps({"case": name, "run": run, "problems": wrong, **result})
            print(line, flush=True)
            if options.out is not None:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

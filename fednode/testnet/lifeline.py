"""Tie a process to the one that started it: `lifeline.py PARENT_PID PROGRAM ARGUMENT...`.

Becomes PROGRAM; on Linux the kernel kills that when its parent ends, however that ends. Run by
path with `python -I -S`, so that it costs a hundredth of a second and needs no package.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the program; never returns."""
    parent = int(arguments[1])
    if sys.platform == "linux":
        # Kept across exec; the death of the thread that forked counts, which is the main thread.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(0)
    os.execv(arguments[2], arguments[2:])  # noqa: S606  # the launcher names the program


if __name__ == "__main__":
    main(sys.argv)

"""Networks on one computer: of processes with a broker, or in memory for notebooks (`run`)."""

from fednode.testnet.history import History
from fednode.testnet.in_memory import run

__all__ = ["History", "run"]

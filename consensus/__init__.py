"""How peers agree on the next block: pure state machines without clock, network or disk."""

"""How peers agree on the next block: a pure engine, no clock, randomness, disk or network."""

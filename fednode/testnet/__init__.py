"""Networks of several members on one machine, for trying and testing."""

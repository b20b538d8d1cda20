"""From updates to one aggregate in integers, so that every node computes the same bytes."""

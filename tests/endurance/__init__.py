"""Headrace as real processes under load, faults and kills, counted by a ledger that knows nothing of Headrace: `make chaos`, `make soak`."""

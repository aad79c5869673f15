"""Training sets: snapshots of the ledger, splits without shared near-duplicates, arrays of examples."""

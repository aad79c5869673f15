"""The ledger: judgements in, decisions out."""

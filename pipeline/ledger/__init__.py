"""The ledger: judgements of raters, and the decisions that follow from them."""

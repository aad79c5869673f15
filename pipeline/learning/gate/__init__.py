"""The gate: a challenger is compared with the champion on the frozen test set, and promoted or rejected."""

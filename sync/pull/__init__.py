"""Pull: copy annotations from Label Studio into the ledger, and compare both."""

"""Label Studio over HTTP."""

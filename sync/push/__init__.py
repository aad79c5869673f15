"""Push: send queued texts to Label Studio as tasks, with predictions."""

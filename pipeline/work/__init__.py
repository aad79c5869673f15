"""Work that is spread over workers: a stage's run is cut into shards, each done by one worker, then put together.

What is to be done, and what was, stands in the store (`pipeline.store.work`); Celery's messages only say where to look.
So a message may be lost, late or doubled, and any process may die, without a shard being lost or counted twice:

- `stage`: what a stage must be able to do to be spread.
- `ranges`: cutting the space of text ids.
- `book`: the states of runs and shards, each change one transaction.
- `carry`: doing one shard; putting the shards together.
- `sweep`: finding what was lost on the way, to send it again.
- `watch`: following a run from outside.
- `stages`: the stages themselves.
"""

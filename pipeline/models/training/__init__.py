"""Training neural networks so that a killed training goes on to the same result: order, schedule, checkpoints, loop.

`loop.run_loop` is the way in; `order` and `schedule` are plain arithmetic and need no torch.
"""

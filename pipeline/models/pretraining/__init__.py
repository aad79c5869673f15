"""Teach a network the language of the texts before it is taught labels: masked next-token prediction, without labels.

`pretrain.pretrain` is the way in.
"""

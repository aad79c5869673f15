"""The `transformers` backend: any encoder with a classification head, fine-tuned on labels of which many are unknown.

`finetune.fit_transformer` trains, `files` reads back, `int8.quantise` makes the 8-bit form for a CPU. Only `config` can
be imported without torch.
"""

"""A fine-tuned transformer as a classifier."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.measure.arrays import Scores
from pipeline.models.training.checkpoint import weights_of
from pipeline.models.training.order import sorted_batches
from pipeline.models.transformer.base import quiet
from pipeline.models.transformer.tokens import batch_of, tokenise

#: texts that are scored at once
_BATCH = 32
#: fields of a config that do not describe the network
_NOT_NETWORK = ("transformers_version", "_name_or_path", "torch_dtype", "dtype")


class TransformerClassifier:
    """See Classifier. Scores in float32, on the device that the network is on.

    One batch at a time goes through it: the network uses all cores by itself, and several batches at once would only
    compete for them. Made by `fit_transformer` or `files.read_transformer`.
    """

    backend = "transformers"

    def __init__(self, model: Any, tokenizer: Any, longest: int) -> None:
        self.model, self.tokenizer, self.longest = model.eval(), tokenizer, longest
        self._lock = threading.Lock()

    @property
    def labels(self) -> tuple[str, ...]:
        """Keys, in the order of the columns of `decisions`."""
        names = self.model.config.id2label
        return tuple(names[i] for i in range(len(names)))

    def decisions(self, texts: Sequence[str]) -> Scores:
        """Logits: [texts, labels]. Texts of more than `longest` tokens are cut."""
        scores = np.zeros((len(texts), len(self.labels)))
        # A tokenizer keeps its last truncation, so it serves one caller at a time as well.
        with self._lock, torch.inference_mode():
            tokens = tokenise(self.tokenizer, texts, self.longest)
            for rows in sorted_batches([len(text_tokens) for text_tokens in tokens], _BATCH):
                batch = batch_of(tokens, rows, self.tokenizer.pad_token_id, self.model.device)
                scores[rows] = self.model(**batch).logits.float().cpu().numpy()
        return scores

    def state(self) -> Mapping[str, Any]:
        """See Classifier."""
        shape = {name: value for name, value in self.model.config.to_dict().items() if name not in _NOT_NETWORK}
        weights = {name: tensor.cpu().numpy() for name, tensor in weights_of(self.model).items()}
        return weights | {
            "config.json": json.dumps(shape, sort_keys=True, default=str),
            "tokenizer": self._plain_tokenizer(),
            "longest": self.longest,
        }

    def write(self, folder: Path) -> None:
        """See Classifier: the layout of the Hugging Face hub, which plain transformers reads."""
        self._plain_tokenizer()
        self.tokenizer.model_max_length = self.longest
        with quiet():
            self.write_weights(folder)
            self.tokenizer.save_pretrained(folder)

    def write_weights(self, folder: Path) -> None:
        """`config.json` and the weights."""
        # The path of the base may be private.
        self.model.config._name_or_path = ""
        self.model.save_pretrained(folder, max_shard_size="50GB", state_dict=_in_little_room(self.model))

    def _plain_tokenizer(self) -> str:
        """The tokenizer without its last truncation and padding."""
        built = getattr(self.tokenizer, "backend_tokenizer", None)
        if built is None:
            return json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        built.no_truncation()
        built.no_padding()
        return str(built.to_str())


def _in_little_room(model: Any) -> dict[str, Tensor]:
    """The weights, tables of words that lose nothing in 16 bits in half the room."""
    weights = dict(model.state_dict())
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding):
            table = module.weight.detach()
            if torch.equal(table.half().to(table.dtype), table):
                weights[f"{name}.weight"] = table.half()
    return weights

"""The network that is pre-trained: a bidirectional Mistral with the output layer of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, MistralConfig, MistralPreTrainedModel, PreTrainedTokenizerBase

from pipeline.errors import ModelError, first_line
from pipeline.models.mistral import BidirectionalMistralModel, is_mistral


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of a network that is made from scratch."""

    layers: int = 4
    #: width of the representations; the heads are 64 wide
    hidden: int = 256
    #: tokens at most that its tokenizer is given
    vocabulary: int = 8_000


class MistralForMaskedNextToken(MistralPreTrainedModel):  # type: ignore[no-untyped-call]
    """Predicts masked tokens, each from the representation of the token before it.

    Weights lie under `model.*` and `lm_head.weight`, as in checkpoints of transformers' causal class: so the
    token before predicts, as in the training of the checkpoint (LLM2Vec, section 2.1, MNTP).
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: MistralConfig) -> None:
        super().__init__(config)
        self.model = BidirectionalMistralModel(config)
        self.lm_head = nn.Linear(int(config.hidden_size or 0), int(config.vocab_size or 0), bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, masked: Tensor) -> Tensor:
        """Logits of the masked tokens alone: [masked tokens, vocabulary], text by text.

        Args:
            input_ids: [texts, tokens], the masked ones replaced already.
            attention_mask: [texts, tokens].
            masked: [texts, tokens], true for those to predict; never the first one of a text.
        """
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        text, token = masked.nonzero(as_tuple=True)
        logits: Tensor = self.lm_head(hidden[text, token - 1])
        return logits


def new_network(shape: Shape, tokenizer: PreTrainedTokenizerBase, length: int, seed: int) -> MistralForMaskedNextToken:
    """A network with random weights; the same seed gives the same ones."""
    heads = max(1, shape.hidden // 64)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max(512, length),
        sliding_window=None,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    return MistralForMaskedNextToken(config)


def load_network(base: Path) -> MistralForMaskedNextToken:
    """The network of a checkpoint, in float32. Where the checkpoint has no output layer, the embeddings serve as one.

    Raises:
        ModelError: there is none, or it isn't a Mistral.
    """
    if not (base / "config.json").is_file():
        raise ModelError(f"{base}: no checkpoint there (config.json is missing)")
    try:
        config: Any = AutoConfig.from_pretrained(base)
        if not is_mistral(config):
            raise ModelError(f"{base}: a {config.model_type} checkpoint; only mistral can be pre-trained")
        model, loading = _load(base, config)
        if "lm_head.weight" in loading["missing_keys"]:
            config.tie_word_embeddings = True
            model, loading = _load(base, config)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{base}: the checkpoint cannot be read ({first_line(error)})") from error
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(f"{base}: the checkpoint has no {', '.join(missing[:3])}, so it is not a Mistral")
    return model


def _load(base: Path, config: MistralConfig) -> tuple[MistralForMaskedNextToken, dict[str, Any]]:
    # With this option the result is a pair, which its types do not say.
    loaded: Any = MistralForMaskedNextToken.from_pretrained(
        base, config=config, dtype=torch.float32, output_loading_info=True
    )
    return cast("tuple[MistralForMaskedNextToken, dict[str, Any]]", loaded)

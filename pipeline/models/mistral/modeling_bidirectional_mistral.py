"""Bidirectional Mistral for classifying texts: every token sees every other, and the first one is classified.

After LLM2Vec (BehnamGhader et al. 2024, "LLM2Vec: Large Language Models Are Secretly Powerful Text Encoders",
arXiv:2404.05961, section 2.1, enabling bidirectional attention). Needs torch and transformers, and nothing else: a copy
of this file lies in exported model folders, so that plain transformers can load them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from transformers import MistralConfig, MistralModel, MistralPreTrainedModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, SequenceClassifierOutput


class BidirectionalMistralModel(MistralModel):  # type: ignore[no-untyped-call]
    """The network without a head. Weights are those of `MistralModel`.

    A sliding window in the config is ignored and removed from it, since with one a token would not see every other.
    """

    def __init__(self, config: MistralConfig) -> None:
        config.sliding_window = None
        config.is_causal = False
        super().__init__(config)
        for layer in self.layers:
            cast(Any, layer.self_attn).is_causal = False

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states of all tokens: [texts, tokens, hidden size].

        Args:
            input_ids: [texts, tokens]; or else `inputs_embeds`.
            attention_mask: [texts, tokens], 0 where there is padding, on either side.
            position_ids: [texts, tokens]; without them, 0, 1, 2 ...
            inputs_embeds: [texts, tokens, hidden size].
            kwargs: as for `MistralModel`. There is no cache of keys: a token depends on later ones too.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        kwargs.pop("past_key_values", None)
        kwargs.pop("use_cache", None)
        # Passed by position: the name of the second argument differs between releases of transformers.
        mask = create_bidirectional_mask(self.config, inputs_embeds, attention_mask)
        # A mask that is given is used as it is; without one, `is_causal` makes sure that no causal mask is made.
        outputs: BaseModelOutputWithPast = super().forward(
            attention_mask=mask, position_ids=position_ids, inputs_embeds=inputs_embeds, use_cache=False, **kwargs
        )
        return outputs


class MistralForSequenceClassification(MistralPreTrainedModel):  # type: ignore[no-untyped-call]
    """A linear score for each label, without bias, from the representation of the first token.

    Weights lie under `model.*` and `score.weight`, as in checkpoints of transformers' causal class of this name.
    """

    def __init__(self, config: MistralConfig) -> None:
        super().__init__(config)
        self.num_labels: int = cast(Any, config).num_labels
        self.model = BidirectionalMistralModel(config)
        self.score = nn.Linear(config.hidden_size, self.num_labels, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Logits [texts, labels], and the loss if labels are given.

        Args:
            input_ids: see `BidirectionalMistralModel.forward`, as for the next three.
            attention_mask: without one, no token is padding.
            position_ids: see there.
            inputs_embeds: see there.
            labels: for `problem_type` `multi_label_classification` [texts, labels], 1 yes, 0 no, negative unknown; for
                `single_label_classification` [texts], the index of the label, negative unknown. What is unknown has no
                part in the loss, which is a mean over what is known.
            return_dict: False gives a tuple.
            kwargs: as for `MistralModel`, for example `output_hidden_states`.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        logits = self.score(hidden[torch.arange(len(hidden), device=hidden.device), _first(attention_mask, hidden)])
        loss = None if labels is None else self._loss(logits, labels)
        output = SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities [texts, labels] of logits, calibrated if the config says how.

        `config.saring["calibration"]` holds the `slope` and `offset` of each label; a sigmoid is applied to
        slope x logit + offset. If `config.saring["exclusive"]`, a text's probabilities are made to sum to 1.
        """
        saring = getattr(self.config, "saring", None) or {}
        logits = logits.float()
        if calibration := saring.get("calibration"):
            names = self._names()
            slope, offset = (logits.new_tensor([calibration[name][part] for name in names]) for part in _SIGMOID)
            logits = slope * logits + offset
        probabilities = torch.sigmoid(logits)
        if saring.get("exclusive"):
            probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        return probabilities

    def given_labels(self, logits: torch.Tensor) -> list[list[str]]:
        """The labels of each text: those whose probability reaches `config.saring["thresholds"]`, 0.5 without any.

        Of an exclusive model, the likeliest one.
        """
        saring = getattr(self.config, "saring", None) or {}
        names = self._names()
        rows = self.probabilities(logits)
        if saring.get("exclusive"):
            return [[names[i]] for i in rows.argmax(dim=-1).tolist()]
        cuts = saring.get("thresholds") or {}
        return [[name for name, p in zip(names, row, strict=True) if p >= cuts.get(name, 0.5)] for row in rows.tolist()]

    def _names(self) -> list[str]:
        names = cast("dict[int, str]", self.config.id2label)
        return [names[i] for i in range(self.num_labels)]

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        labels = labels.to(logits.device)
        problem = self.config.problem_type or (
            "multi_label_classification" if labels.shape == logits.shape else "single_label_classification"
        )
        known = labels >= 0
        if problem == "multi_label_classification":
            if labels.shape != logits.shape:
                raise ValueError(
                    f"labels of multi_label_classification are of shape {tuple(logits.shape)} as the logits, "
                    f"not {tuple(labels.shape)}"
                )
            losses = nn.functional.binary_cross_entropy_with_logits(
                logits.float(), labels.clamp_min(0).float(), reduction="none"
            )
            return (losses * known).sum() / known.sum().clamp_min(1)
        if problem == "single_label_classification":
            known = known.view(-1)
            targets = labels.view(-1).long().masked_fill(~known, _IGNORED)
            losses = nn.functional.cross_entropy(logits.float(), targets, ignore_index=_IGNORED, reduction="sum")
            return losses / known.sum().clamp_min(1)
        raise ValueError(f"problem_type {problem!r} has no loss here: multi_ or single_label_classification")


_SIGMOID = ("slope", "offset")
_IGNORED = -100


def _first(attention_mask: torch.Tensor | None, hidden: torch.Tensor) -> torch.Tensor:
    """Position of the first token of each text, [texts]: past the padding, if that is on the left."""
    if attention_mask is None or attention_mask.ndim != 2:
        return torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)
    return attention_mask.to(hidden.device).ne(0).int().argmax(dim=1)

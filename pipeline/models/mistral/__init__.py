"""Bidirectional Mistral; all of it is in `modeling_bidirectional_mistral.py`, which is part of exported models.

Importing this loads torch.
"""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedConfig

from pipeline.models.mistral.modeling_bidirectional_mistral import (
    BidirectionalMistralModel,
    MistralForSequenceClassification,
)

__all__ = ["MODELING_FILE", "BidirectionalMistralModel", "MistralForSequenceClassification", "is_mistral"]

#: file that is copied into exported model folders
MODELING_FILE = Path(__file__).parent / "modeling_bidirectional_mistral.py"


def is_mistral(config: PreTrainedConfig) -> bool:
    """True where a checkpoint needs `MistralForSequenceClassification`: here every Mistral is bidirectional.

    transformers' auto class would take its own, causal, Mistral for it.
    """
    return bool(config.model_type == "mistral")

"""Reading a transformer classifier back from its folder, which has the layout of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from pipeline.errors import ModelError, first_line
from pipeline.models.training.loop import best_device
from pipeline.models.transformer.base import model_class, quiet
from pipeline.models.transformer.classifier import TransformerClassifier

#: arguments of loading: only files of the folder, no code and no pickle
_TRUSTED: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def read_transformer(folder: Path) -> TransformerClassifier:
    """The classifier that `TransformerClassifier.write` wrote there. The caller checks that the files are unchanged.

    Raises:
        ModelError: its parts are missing or do not fit together.
    """
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, **_TRUSTED)
            model, info = model_class(config).from_pretrained(
                folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **_TRUSTED
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **_TRUSTED)
    except Exception as error:
        raise unreadable(folder, error) from error
    if any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        raise ModelError(f"{folder}: weights and configuration do not fit together: fetch or train the model again")
    return TransformerClassifier(model.to(best_device()), tokenizer, tokenizer.model_max_length)


def unreadable(folder: Path, error: Exception) -> ModelError:
    """The error of a folder that transformers cannot read."""
    return ModelError(f"{folder}: the model cannot be read ({first_line(error)}): fetch or train it again")

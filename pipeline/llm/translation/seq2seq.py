"""Translation by a sequence-to-sequence model from Hugging Face, on this machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError, first_line
from pipeline.llm.budget import Allowance
from pipeline.llm.replies import NoReply
from pipeline.llm.translation.protocol import Language, Translated
from pipeline.models.hub import model_place

#: texts in a batch
_BATCH = 16
#: longest text, and longest translation, in tokens
_LONGEST = 512
#: longest translation in tokens: a factor of the longest text, plus a constant; longer ones only repeat themselves
_GROWTH, _SHORTEST_ROOM = 3, 20
#: language codes of NLLB and M2M100
_CODES: dict[Language, tuple[str, ...]] = {"ms": ("zsm_Latn", "ms", "__ms__"), "en": ("eng_Latn", "en", "__en__")}
#: instructions for T5
_PREFIX = {"ms": "terjemah ke Melayu: ", "en": "terjemah ke Inggeris: "}


class Seq2SeqTranslator:
    """Any encoder-decoder model, by local path or hub name.

    Models with language codes get the code of the language. Models of the T5 family get an instruction (as the
    Malaysian translation models were trained). Other models translate as they were trained. A text that is too long, or
    whose translation does not end, gets no translation: half of one could mean something else.

    Raises:
        ModelError: the libraries are not installed, or the model cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        try:
            from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

            from pipeline.models.transformer.base import longest_text, quiet
        except ImportError as error:
            raise ModelError("transformers is not installed: pip install 'saring[transformers]'") from error
        try:
            place = model_place(model)
            with quiet():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(place)
                self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(place, use_safetensors=True)
        except ModelError as error:
            raise ModelError(f"cannot load the translation model: {error}") from error
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot load the translation model {model!r}: {first_line(error)}") from error
        self._model.eval()
        self._longest = longest_text(self._model, self._tokenizer, _LONGEST)
        self._name = f"seq2seq:{Path(model).name}@{_version(self._model, model)}"

    @property
    def name(self) -> str:
        """See `Translator`."""
        return self._name

    @property
    def allowance(self) -> Allowance:
        """See `Translator`. There is no limit for a model on this machine."""
        return Allowance()

    def translate(
        self,
        texts: Sequence[str],
        language: Language,
        *,
        run_id: int | None = None,  # noqa: ARG002 - no reply is paid for
    ) -> Iterator[Translated]:
        """See `Translator`."""
        tokens = dict(zip(texts, self._tokens(texts, language), strict=True)) if texts else {}
        short = [text for text, ids in tokens.items() if len(ids) <= self._longest]
        if len(short) < len(tokens):
            yield Translated(failed={"too long": len(tokens) - len(short)})
        # Texts of similar length together, so that less is computed for padding.
        short.sort(key=lambda text: len(tokens[text]))
        for start in range(0, len(short), _BATCH):
            batch = short[start : start + _BATCH]
            results = self._batch([tokens[text] for text in batch], language)
            bodies = {text: body for text, body in zip(batch, results, strict=True) if isinstance(body, str)}
            yield Translated(bodies, dict(Counter(body.reason for body in results if isinstance(body, NoReply))))

    def _tokens(self, texts: Sequence[str], language: Language) -> list[list[int]]:
        if self._code(language) is not None and hasattr(self._tokenizer, "src_lang"):
            # The source language is not known: English is assumed for Malay, and Malay for English.
            source = self._name_of("en" if language == "ms" else "ms")
            if source is not None:
                self._tokenizer.src_lang = source.strip("_")
        is_t5 = self._model.config.model_type == "t5"
        inputs = [_PREFIX[language] + text for text in texts] if is_t5 else list(texts)
        ids: list[list[int]] = self._tokenizer(inputs, verbose=False)["input_ids"]
        return ids

    def _batch(self, tokens: Sequence[list[int]], language: Language) -> list[str | NoReply]:
        import torch

        encoded = self._tokenizer.pad({"input_ids": list(tokens)}, return_tensors="pt")
        code = self._code(language)
        more = {"forced_bos_token_id": code} if code is not None else {}
        room = _SHORTEST_ROOM + _GROWTH * encoded["input_ids"].shape[1]
        with torch.inference_mode():
            out = self._model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                max_new_tokens=min(room, _LONGEST),
                do_sample=False,
                num_beams=1,
                **more,
            )
        # The first token starts every translation, and may be equal to the end token.
        ended = (out[:, 1:] == self._tokenizer.eos_token_id).any(1).tolist()
        bodies = [body.strip() for body in self._tokenizer.batch_decode(out, skip_special_tokens=True)]
        return [
            NoReply("cut off") if not end else body or NoReply("empty translation")
            for body, end in zip(bodies, ended, strict=True)
        ]

    def _code(self, language: Language) -> int | None:
        """The token of the language, which begins a translation; None: the model has no such tokens."""
        name = self._name_of(language)
        token = self._tokenizer.convert_tokens_to_ids(name) if name is not None else None
        return token if isinstance(token, int) and token != self._tokenizer.unk_token_id else None

    def _name_of(self, language: Language) -> str | None:
        """The model's name for the language; None: it has none."""
        known = self._tokenizer.get_added_vocab()
        return next((name for name in _CODES[language] if name in known), None)


def _version(model: Any, path: str) -> str:
    """Hash of a local model's weights; for other models of its name and revision."""
    digest = hashlib.blake2b(digest_size=6)
    files = sorted(Path(path).glob("*.safetensors")) if Path(path).is_dir() else []
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "blake2b").digest())
    if not files:
        digest.update(f"{path}@{getattr(model.config, '_commit_hash', None)}".encode())
    return digest.hexdigest()

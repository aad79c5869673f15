"""Translation by a sequence-to-sequence model of Hugging Face's, on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.translation.protocol import Language, Translated

#: texts in a batch
_BATCH = 16
#: tokens of a text, and of its translation, at most
_LONGEST = 512
#: how NLLB and M2M100 call the languages
_CODES: dict[Language, tuple[str, ...]] = {"ms": ("zsm_Latn", "ms", "__ms__"), "en": ("eng_Latn", "en", "__en__")}
#: T5 is told what to do in words
_PREFIX = {"ms": "terjemah ke Melayu: ", "en": "terjemah ke Inggeris: "}


class Seq2SeqTranslator:
    """Any encoder-decoder model, by local path or hub name. Models with language codes are told the language; those of
    the T5 family are told in words (as the Malaysian translation models are trained), others translate as they were
    trained.

    Raises:
        ModelError: the libraries are not installed, or the model cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        try:
            from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        except ImportError as error:
            raise ModelError("transformers is not installed: pip install 'saring[transformers]'") from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(model, use_safetensors=True)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise ModelError(f"cannot load the translation model {model!r}: {first}") from error
        self._model.eval()
        self._name = f"seq2seq:{Path(model).name}@{_version(self._model, model)}"

    @property
    def name(self) -> str:
        """See Translator."""
        return self._name

    def translate(self, texts: Sequence[str], language: Language) -> Iterator[Translated]:
        """See Translator."""
        # like lengths together: less is computed for padding
        ordered = sorted(texts, key=len)
        for start in range(0, len(ordered), _BATCH):
            batch = ordered[start : start + _BATCH]
            bodies = {text: body for text, body in zip(batch, self._batch(batch, language), strict=True) if body}
            failed = len(batch) - len(bodies)
            yield Translated(bodies, {"empty translation": failed} if failed else {})

    def _batch(self, texts: Sequence[str], language: Language) -> list[str]:
        import torch

        told = [_PREFIX[language] + text for text in texts] if self._model.config.model_type == "t5" else list(texts)
        encoded = self._tokenizer(told, return_tensors="pt", padding=True, truncation=True, max_length=_LONGEST)
        more = {}
        code = self._code(language)
        if code is not None:
            more["forced_bos_token_id"] = code
        wanted = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            out = self._model.generate(**wanted, max_new_tokens=_LONGEST, do_sample=False, num_beams=1, **more)
        return [body.strip() for body in self._tokenizer.batch_decode(out, skip_special_tokens=True)]

    def _code(self, language: Language) -> int | None:
        unknown = self._tokenizer.unk_token_id
        for name in _CODES[language]:
            if name in self._tokenizer.get_added_vocab():
                found = self._tokenizer.convert_tokens_to_ids(name)
                if isinstance(found, int) and found != unknown:
                    return found
        return None


def _version(model: Any, path: str) -> str:
    """Hash of a local model's weights; of its name and revision otherwise."""
    digest = hashlib.blake2b(digest_size=6)
    files = sorted(Path(path).glob("*.safetensors")) if Path(path).is_dir() else []
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "blake2b").digest())
    if not files:
        digest.update(f"{path}@{getattr(model.config, '_commit_hash', None)}".encode())
    return digest.hexdigest()

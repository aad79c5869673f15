"""Words that only a maintainer can say of a shared model or data set: `documentation.yaml` in the home.

Cards have the headings that the EU's AI Act, Malaysia's data protection law and its AI guidelines, and data statements
(Bender & Friedman 2018) ask for. Saring fills in what the home knows. The rest is in this file, so that the next export
has it too; what is not there is marked as to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.yaml_text import read_yaml_bytes

FILE = "documentation.yaml"
#: bytes of the file, at most
_LARGEST = 1_000_000
#: what can be said, and what to say there
KEYS: Mapping[str, str] = {
    "provider": "name and address of who offers it",
    "contact": "where to ask, complain, or ask for removal",
    "purpose": "what it is used for here, by whom, and for whom it decides nothing",
    "oversight": "who looks at its verdicts before something follows from them, and who may overrule it",
    "risks": "known and foreseeable risks for people, and what is done about each",
    "standards": "standards and specifications that were applied; none is an answer",
    "declaration": "the EU declaration of conformity, or why none is needed",
    "monitoring": "what is watched while it is used, how often, and what is done when it gets worse",
    "controller": "who the data controller is, and of which sources",
    "basis": "why the personal data in the texts may be processed: consent, a contract, a law, an exemption",
    "notice": "how the people who wrote or are named in the texts were told, or why not",
    "retention": "how long texts and answers are kept, and who removes them",
    "transfer": "to which countries data go, and on which condition of the law",
    "officer": "the data protection officer, or why none is needed",
    "fairness": "for which groups it was tried, and what was found",
    "inclusiveness": "who was asked: varieties of language, groups that it is about, volunteers",
    "benefit": "whom it helps, and how that is known",
    "curation": "why these sources were chosen, and what was left out",
    "varieties": "which Malay, English, Manglish, dialects and other languages, in words",
    "speakers": "who wrote the texts: age, gender, region, first language, as far as known",
    "annotators": "who labelled: how many, age, gender, first language, training, payment, what they agreed to",
    "situation": "when and where the texts were written, for whom, edited or not",
    "characteristics": "genre and subjects, and what makes them special",
}


def load_words(home: Path) -> dict[str, str]:
    """The maintainer's words, by key; empty without a file.

    Args:
        home: the folder of the home.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    path = home / FILE
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > _LARGEST:
        raise UsageError(f"{path}: larger than {_LARGEST:,} bytes: shorten it")
    document = read_yaml_bytes(content, path)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError(f"{path}: must be lines of `key: words`")
    words: dict[str, str] = {}
    for key, value in document.items():
        if key not in KEYS:
            raise UsageError(f"{path}: {str(key)!r} is not known: use {', '.join(KEYS)}")
        if not isinstance(value, str):
            raise UsageError(f"{path}: {key}: must be words: put them between quotation marks")
        if value.strip():
            words[str(key)] = value
    return words


def written(words: Mapping[str, str], key: str) -> str:
    """The line under a heading: the maintainer's words, or that they are to be written, and what.

    Args:
        words: of `load_words`.
        key: one of KEYS.
    """
    if key in words:
        # of a cell of a table, too
        return " ".join(words[key].split()).replace("|", "\\|")
    return f"*To be written by the maintainer (`{key}`): {KEYS[key]}.*"

"""Near-duplicates of short posts: MinHash signatures, divided into bands that are looked up in the store.

Two texts are near-duplicates if the Jaccard similarity of their byte 5-grams is at least `SIMILAR`, after case,
punctuation, digits, placeholders and repeated letters are removed, and spellings are made one (Broder 1997; banding
after Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", section 3.4). With 5 bands of 4 rows a pair at
similarity s shares a bucket with probability 1 - (1 - s^4)^5: 0.93 at 0.8, 0.995 at 0.9, 0.28 at 0.5; candidates are
then compared in full. A text too short for 5-grams to mean much is a near-duplicate only of the same levelled text.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from pipeline.models.folding import join_spelled, unify
from pipeline.texts.masking import bare, words

SIMILAR = 0.8
BANDS, ROWS = 5, 4
_SHINGLE = 5
#: levelled texts with fewer bytes are compared as a whole
_SHORT = 24
_SEED = 42
#: texts of one bucket that are compared with each other
_COMPARED = 50
_REPEATED = re.compile(r"(.)\1{2,}")
#: the end of a text that a program cut, and the head that it put before it
_CUT_END = re.compile(r"\s*(?:…|\.\.\.)\s*(?:<url>)?\s*\Z")
_RETWEET = re.compile(r"\A\s*RT\s+(?:<user>|@\w+)\s*:?\s*", re.IGNORECASE)
#: characters of a cut text's beginning that tell it from others
_CUT_LEAST = 40
_TOKEN = re.compile(r"[^\W_]+(?:[’'][^\W_]+)?")
#: a word with a capital after a word or a comma
_NAME = re.compile(r"(?<=[\w,;:] )([A-Z][^\W\d_]+)")
#: words that turn a statement into its opposite, as people write them in Malay and English
_NEGATIONS = frozenset(
    {
        *("tak", "tidak", "tk", "x", "xde", "takde", "takda", "takkan", "bukan", "bukannya", "bkn", "jangan", "jgn"),
        *("tiada", "tanpa", "belum", "blm", "usah", "enggak", "nggak", "ga", "gak"),
        *("not", "no", "never", "none", "nobody", "nothing", "without", "cannot", "cant", "dont", "doesnt", "didnt"),
        *("isnt", "arent", "wasnt", "werent", "wont"),
    }
)


def level(masked: str, known_words: Sequence[str] | None = None) -> str:
    """Level a text: fold its spellings, remove case, punctuation, digits, placeholders and repeated letters.

    Texts without hidden or odd spellings are levelled as they were before there was a fold: buckets in a store stay
    valid, and those of an odd text that is there already match no new one.

    Args:
        masked: a masked text.
        known_words: its `words`, if the caller has them already.
    """
    visible = bare(masked)
    unified = unify(visible)
    changed = unified != visible.casefold()
    levelled = " ".join(words(unified if changed else visible) if known_words is None or changed else known_words)
    levelled = join_spelled(levelled)
    if _REPEATED.search(levelled) is not None:
        levelled = _REPEATED.sub(r"\1\1", levelled)
    # A text of numbers, signs or smileys only would become empty.
    return levelled or " ".join(masked.split())


def shingles(levelled: str) -> frozenset[bytes]:
    """The 5-grams of a levelled text's UTF-8 bytes."""
    encoded = levelled.encode()
    return frozenset(encoded[i : i + _SHINGLE] for i in range(max(1, len(encoded) - _SHINGLE + 1)))


def buckets(levelled: Sequence[str]) -> list[list[int]]:
    """Buckets of each levelled text: one signed 64-bit number for each band; a single number for a short text."""
    return [np.frombuffer(packed, dtype="<i8").tolist() for packed in packed_buckets(levelled)]


def packed_buckets(levelled: Sequence[str]) -> list[bytes]:
    """Packed `buckets` of each text: eight bytes for each bucket, least significant first."""
    encoded = [text.encode() for text in levelled]
    long = [text for text in encoded if len(text) >= _SHORT]
    packed = _band_hashes(long).astype("<i8").tobytes() if long else b""
    size = 8 * BANDS
    of_long = (packed[start : start + size] for start in range(0, len(packed), size))
    return [next(of_long) if len(text) >= _SHORT else _short_bucket(text) for text in encoded]


def _band_hashes(encoded: Sequence[bytes]) -> NDArray[np.int64]:
    """Hashes of the bands of all texts, each at least `_SHINGLE` bytes long: int64 array of shape [texts, BANDS]."""
    lengths = np.array([len(text) for text in encoded])
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8).astype(np.uint64)
    windows = data[: len(data) - _SHINGLE + 1].copy()
    for i in range(1, _SHINGLE):
        windows |= data[i : len(data) - _SHINGLE + 1 + i] << np.uint64(8 * i)
    # Windows that reach into the next text do not count.
    ends = np.cumsum(lengths)
    inside = np.ones(len(data), dtype=bool)
    for i in range(1, _SHINGLE):
        inside[ends - i] = False
    flat = _mix(windows[inside[: len(windows)]])
    offsets = np.concatenate([[0], np.cumsum(lengths - _SHINGLE + 1)]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, BANDS * ROWS, _SEED)
    signatures = np.array(matrix.to_rows(), dtype=np.uint64).reshape(-1, BANDS, ROWS)
    hashes = np.arange(1, BANDS + 1, dtype=np.uint64)[None, :].repeat(len(signatures), axis=0)
    for row in range(ROWS):
        hashes = _mix(hashes ^ signatures[:, :, row])
    return hashes.view(np.int64)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each number, reversibly (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _short_bucket(encoded: bytes) -> bytes:
    return hashlib.blake2b(encoded, digest_size=8).digest()


class Levelled:
    """A levelled text to compare with others: its n-grams are made once, when they are first needed."""

    __slots__ = ("_grams", "_short", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._short = len(text.encode()) < _SHORT
        self._grams: frozenset[bytes] | None = None

    @property
    def grams(self) -> frozenset[bytes]:
        """The text's `shingles`."""
        if self._grams is None:
            self._grams = shingles(self.text)
        return self._grams

    def similarity(self, other: Levelled) -> float:
        """Jaccard similarity of the shingles of both texts; for a short text 1 if they are equal, else 0."""
        if self.text == other.text:
            return 1.0
        if self._short or other._short:
            return 0.0
        shared = len(self.grams & other.grams)
        return shared / (len(self.grams) + len(other.grams) - shared)

    def is_near(self, other: Levelled) -> bool:
        """True where the two texts are near-duplicates."""
        return self.similarity(other) >= SIMILAR


def similarity(text: str, other: str) -> float:
    """Similarity of two levelled texts, from 0 to 1 (see `Levelled.similarity`)."""
    return Levelled(text).similarity(Levelled(other))


def best_match(levelled: str, candidates: Iterable[tuple[bytes, str]]) -> bytes | None:
    """The key of the most similar candidate, if it is similar enough; of equally similar ones the least key.

    Args:
        levelled: a levelled text.
        candidates: pairs of a key and a levelled text.
    """
    own = Levelled(levelled)
    scored = [(-own.similarity(Levelled(other)), candidate) for candidate, other in candidates]
    if not scored:
        return None
    negative, candidate = min(scored)
    return candidate if -negative >= SIMILAR else None


class BucketIndex:
    """An index of levelled texts by bucket. A text is compared only with the first texts of each of its buckets."""

    def __init__(self) -> None:
        self._members: dict[int, list[Levelled]] = defaultdict(list)

    def add(self, text: Levelled, its_buckets: Iterable[int]) -> None:
        """Add a text to its buckets."""
        for bucket in its_buckets:
            self._members[bucket].append(text)

    def members(self, bucket: int) -> Sequence[Levelled]:
        """The texts of a bucket that another text of the bucket is compared with."""
        return self._members.get(bucket, ())[:_COMPARED]


@dataclass(frozen=True, slots=True)
class Signed:
    """Masked texts with their levelled forms and buckets, which take most of the time of a comparison."""

    texts: Sequence[str]
    levelled: Sequence[Levelled]
    buckets: Sequence[Sequence[int]]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Signed:
        """Level texts, and compute their buckets."""
        levelled = [Levelled(level(text)) for text in texts]
        return cls(texts, levelled, buckets([text.text for text in levelled]))


def near_duplicate_groups(texts: Sequence[str] | Signed) -> list[int]:
    """A group number for each masked text; near-duplicates, directly or through other texts, have the same number.

    A copy that was cut (it ends in "…") belongs to the texts that begin as it does.
    """
    signed = texts if isinstance(texts, Signed) else Signed.of(texts)
    levelled, texts = signed.levelled, signed.texts
    number = {text: i for i, text in enumerate(levelled)}
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    index = BucketIndex()
    for i, (text, its_buckets) in enumerate(zip(levelled, signed.buckets, strict=True)):
        refuted: set[int] = set()
        # A bucket keeps one text of each group, so a text is added only where no text of its group is.
        new_buckets = []
        for bucket in its_buckets:
            has_group = False
            for other in index.members(bucket):
                a, b = root(i), root(number[other])
                if a == b:
                    has_group = True
                elif number[other] not in refuted:
                    if text.is_near(other):
                        parent[max(a, b)] = min(a, b)
                        has_group = True
                    else:
                        refuted.add(number[other])
            if not has_group:
                new_buckets.append(bucket)
        index.add(text, new_buckets)
    for cut, whole in _cut_copies(texts):
        a, b = root(cut), root(whole)
        parent[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(texts))]


def repeating(texts: Signed, others: Signed) -> dict[int, int]:
    """Positions of the texts that nearly repeat one of the others, each with the position of the first such.

    A text is compared with every other that shares a bucket with it, however many do.
    """
    index: dict[int, list[int]] = defaultdict(list)
    for j, its_buckets in enumerate(others.buckets):
        for bucket in its_buckets:
            index[bucket].append(j)
    near: dict[int, int] = {}
    for i, (text, its_buckets) in enumerate(zip(texts.levelled, texts.buckets, strict=True)):
        candidates = sorted({j for bucket in its_buckets for j in index.get(bucket, ())})
        first = next((j for j in candidates if text.is_near(others.levelled[j])), None)
        if first is not None:
            near[i] = first
    return near


def _cut_copies(texts: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Pairs of positions: a text that was cut, and a text that begins as it does."""
    beginnings = {i: cut for i, text in enumerate(texts) if (cut := cut_beginning(text)) is not None}
    if not beginnings:
        return
    bodies = [level(_RETWEET.sub("", text)) for text in texts]
    by_head: dict[str, list[int]] = defaultdict(list)
    for i, body in enumerate(bodies):
        by_head[body[:_CUT_LEAST]].append(i)
    firsts: dict[str, int] = {}
    for i, beginning in beginnings.items():
        if beginning in firsts:
            yield i, firsts[beginning]
            continue
        firsts[beginning] = i
        for j in by_head[beginning[:_CUT_LEAST]]:
            if j != i and bodies[j].startswith(beginning):
                yield i, j


def cut_beginning(masked: str) -> str | None:
    """The levelled beginning of a text that was cut, without its last word, which may be cut too.

    None: the text was not cut, or what is left is too short to tell it from others.
    """
    end = _CUT_END.search(masked)
    if end is None:
        return None
    kept = level(_RETWEET.sub("", masked[: end.start()])).rpartition(" ")[0]
    return kept if len(kept) >= _CUT_LEAST else None


def contrasts(masked: str, other: str) -> bool:
    """True where two similar texts differ in a negation, a number or a name, so that they may mean different things.

    A name is a word with a capital that does not begin a sentence.
    """
    ours, theirs = (Counter(token.casefold() for token in _TOKEN.findall(bare(text))) for text in (masked, other))
    differing = set((ours - theirs) + (theirs - ours))
    names = _names(masked) | _names(other)
    return any(
        token in _NEGATIONS or token.endswith(("n't", "n’t")) or token in names or any(c.isdigit() for c in token)
        for token in differing
    )


def _names(masked: str) -> set[str]:
    bared = bare(masked)
    if bared.upper() == bared:
        # Of a text in capitals only, capitals say nothing.
        return set()
    return {match[1].casefold() for match in _NAME.finditer(bared)}

"""Invented everyday texts in Malay, English and Indonesian, all different, with mild words that show their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LANGUAGES = ("ms", "en", "id", "zh")
_DAILY = {
    "ms": """
        saya awak dia kami mereka pagi petang malam semalam esok tadi nanti sekejap dah belum nak tak boleh memang
        kedai pasar jalan rumah sekolah pejabat masjid taman sungai pantai kampung bandar kereta bas motor hujan panas
        banjir jerebu nasi lemak kopi teh roti canai sambal ikan ayam sayur buah durian mangga harga murah mahal gaji
        duit bil telefon gambar cerita lagu filem bola badminton cikgu jiran kawan adik abang kakak mak ayah nenek
        masak makan minum jalan duduk tunggu cari jumpa beli jual hantar ambil baca tulis dengar tengok cakap fikir
        cantik besar kecil baru lama jauh dekat cepat lambat ramai sunyi penat lapar dengan untuk dari dalam atas
        bawah sebab kalau tapi pun lagi sangat agak mungkin rasa minggu bulan tahun cuti raya kenduri
    """,
    "en": """
        i you we they morning evening tonight yesterday tomorrow soon already still maybe really always sometimes
        shop market road house school office park river beach village town car bus bike rain heat flood haze rice
        coffee tea bread chicken fish fruit price cheap pay money bill phone picture story song film football teacher
        neighbour friend brother sister mother father cook eat drink walk sit wait find meet buy sell send take read
        write listen watch talk think pretty big small new old far near fast slow crowded quiet tired hungry with for
        from inside above below because if but again very quite perhaps week month year holiday feast ticket queue
    """,
    "id": """
        aku kamu kita mereka pagi sore malam kemarin besok tadi nanti sebentar sudah belum mau nggak bisa memang toko
        pasar jalan rumah sekolah kantor taman sungai pantai desa kota mobil bus motor hujan panas banjir nasi goreng
        kopi teh roti sambal ikan ayam sayur buah harga murah mahal gaji uang tagihan ponsel gambar cerita lagu film
        bola guru tetangga teman adik kakak ibu bapak nenek masak makan minum duduk tunggu cari ketemu beli jual kirim
        ambil baca tulis dengar lihat bicara pikir cantik besar kecil baru lama jauh dekat cepat lambat ramai sepi
        capek lapar dengan untuk dari dalam atas bawah karena kalau tapi lagi sangat agak mungkin rasa minggu bulan
    """,
}
#: the words that show a label, as mild as it allows; in a language that has none, those of Malay
_SHOWN = {
    "hate": {"ms": ["benci", "menyampah", "meluat"], "en": ["hate", "despise", "detest"], "id": ["benci", "muak"]},
    "violence": {"ms": ["tumbuk", "tampar"], "en": ["punch", "slap"], "id": ["tonjok", "tampar"]},
    "self-harm": {"ms": ["putus asa hidup"], "en": ["give up on living"], "id": ["lelah hidup"]},
    "harassment": {"ms": ["ejek", "kacau"], "en": ["mock", "pester"], "id": ["olok", "ganggu"]},
    "racist": {"ms": ["kaum sana"], "en": ["people from there"], "id": ["suku sana"]},
    "religion insult": {"ms": ["ajaran mereka karut"], "en": ["their faith is silly"], "id": ["ajaran mereka konyol"]},
    "sexist": {"ms": ["perempuan duduk dapur"], "en": ["women belong at home"], "id": ["perempuan di dapur"]},
    "porn": {"ms": ["video dewasa"], "en": ["adult video"], "id": ["film dewasa"]},
    "psychiatric or mental illness": {"ms": ["tak waras"], "en": ["out of their mind"], "id": ["kurang waras"]},
    "informative": {"ms": ["laporan", "kajian"], "en": ["report", "survey"], "id": ["laporan", "survei"]},
    "safe for work": {"ms": ["sedap", "seronok"], "en": ["lovely", "thanks"], "id": ["enak", "senang"]},
}
_PLACES = {"ms": "Kampung", "en": "Taman", "id": "Desa", "zh": "Lorong"}
_SYLLABLES = [consonant + vowel for consonant in "bcdghjklmnprst" for vowel in "aiueo"]
_LONGEST = 14
#: share of texts that say nothing of their label in words, as many real ones do
_SILENT = 0.12

#: texts that break pages: marks of HTML and of templates, a word without an end, other directions, very much
BREAKING = (
    "<script>document.title = 'broken'</script> kedai runcit baru buka semalam",
    '"><img src=x onerror="document.title=\'broken\'"> terima kasih jiran',
    "harga durian {{ 7 * 7 }} {% raise %} ${7*7} di pasar malam",
    "panjang" + "nya" * 1_500 + " betul barisan tadi",
    "مرحبا kopi ais 👩‍👩‍👧‍👦 sedap \u202egnilab\u202c betul",
    "baris satu\nbaris dua\n\n\tbaris tiga \\n bukan baris",
    "-- '; DROP TABLE text; -- cuti sekolah minggu depan",
    "ulang tayang cerita lama " * 40_000 + "tamat",
)


def place_name(number: int) -> str:
    """A number as a name in syllables, which no other number has."""
    syllables = []
    while number:
        number, rest = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[rest])
    return "".join(syllables).capitalize() or "A"


class Writer:
    """Writes texts, each with a place that no other has."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._words = {language: np.array(words.split(), dtype=object) for language, words in _DAILY.items()}
        self._words["zh"] = self._words["en"]
        self._shown = {
            language: [_SHOWN.get(key, _SHOWN["safe for work"]) for key in keys] for language in ("ms", "en", "id")
        }

    def write(
        self,
        rng: np.random.Generator,
        first: int,
        languages: NDArray[np.int64],
        labels: Sequence[tuple[int, ...]],
    ) -> list[str]:
        """Texts number `first` and following, in these languages and with these labels."""
        count = len(labels)
        texts = [""] * count
        lengths = rng.integers(4, _LONGEST, count).tolist()
        silent = (rng.random(count) < _SILENT).tolist()
        picks = rng.integers(0, 1 << 16, count).tolist()
        for number, language in enumerate(LANGUAGES):
            rows = np.flatnonzero(languages == number).tolist()
            vocabulary = self._words[language]
            drawn = vocabulary[rng.integers(0, len(vocabulary), (len(rows), _LONGEST))].tolist()
            shown = self._shown["en" if language == "zh" else language]
            place = _PLACES[language]
            speaking = "en" if language == "zh" else language
            for row, words in zip(rows, drawn, strict=True):
                kept = words[: lengths[row]]
                if not silent[row]:
                    for label in labels[row]:
                        marks = shown[label][speaking]
                        kept.insert(picks[row] % len(kept), marks[picks[row] % len(marks)])
                texts[row] = f"{' '.join(kept)} {place} {place_name(first + row + 71)}"
        return texts

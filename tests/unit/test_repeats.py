"""A text that nearly repeats one that is set aside is known, whatever else is."""

from __future__ import annotations

from pipeline.texts.set_aside import SetAside

_LONG = "jalan raya di hadapan sekolah lama itu sudah siap dibaiki oleh majlis perbandaran minggu lepas"


def test_near_and_levelled_repeats_are_found_and_others_are_not() -> None:
    aside = SetAside()
    aside.add([_LONG, "jom makan"])
    assert aside.repeated(
        [
            _LONG.upper() + "!!!",
            _LONG.replace("lepas", "lalu"),
            "JOM makan <user>",
            "jom minum",
            "harga ayam naik lagi di pasar pagi hari ini kata penjual",
        ]
    ) == [True, True, True, False, False]


def test_nothing_repeats_what_is_not_there() -> None:
    assert SetAside().repeated([_LONG, ""]) == [False, False]

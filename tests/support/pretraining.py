"""A corpus of sentences that a small network learns by heart, and how it is pre-trained on them."""

from __future__ import annotations

import random

from pipeline.models.pretraining.network import Shape
from pipeline.models.pretraining.pretrain import PretrainConfig

#: what is done tells what with, so that a text's words can be learnt from each other
_DONE = {"makan": "nasi lemak", "minum": "teh tarik", "baca": "buku cerita", "pandu": "kereta lama", "main": "bola"}
_WHO = ("saya", "dia", "kakak", "abang", "cikgu", "jiran")
_WHERE = ("di rumah", "di kedai", "di pekan", "di sekolah", "di taman")


def corpus(count: int = 260) -> list[str]:
    draw = random.Random(5)
    found = [f"{draw.choice(_WHO)} {verb} {what} {draw.choice(_WHERE)}" for verb, what in _DONE.items()]
    while len(found) < count:
        verb = draw.choice(list(_DONE))
        found.append(f"{draw.choice(_WHO)} {verb} {_DONE[verb]} {draw.choice(_WHERE)} pukul {draw.randrange(60)}")
    return found


def config(steps: int, **changes: object) -> PretrainConfig:
    values = {
        "steps": steps,
        "shape": Shape(layers=2, hidden=64, vocabulary=400),
        "length": 32,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "checkpoint_steps": 10,
    }
    return PretrainConfig(**values | changes)

"""The training loop: order, schedule, accumulation, the best epoch, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.errors import TrainingError
from pipeline.models.training.checkpoint import weights_of
from pipeline.models.training.loop import LoopConfig, Trained, run_loop
from pipeline.models.training.order import Rows, bucketed_batches, epoch_batches, sorted_batches
from pipeline.models.training.schedule import rate_factor, warmup_steps

_INPUTS = torch.randn(96, 6, generator=torch.Generator().manual_seed(1))
_TARGETS = (_INPUTS[:, 0] > 0).float()
_LENGTHS = [1 + i % 7 for i in range(96)]
_CONFIG = LoopConfig(epochs=4, batch_size=8, accumulate=2, learning_rate=0.02, checkpoint_steps=3, patience=0, seed=3)


class Killed(Exception):
    """Stands in for the end of the process."""


@pytest.fixture(autouse=True)
def own_generators() -> Iterator[None]:
    """The loop seeds torch; other tests draw from it as well."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@given(
    lengths=st.lists(st.integers(1, 300), max_size=200),
    batch=st.integers(1, 20),
    pool=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_every_example_is_in_exactly_one_batch(lengths: list[int], batch: int, pool: int, seed: int) -> None:
    batches = bucketed_batches(lengths, batch, np.random.default_rng(seed), pool=pool)
    assert sorted(int(i) for one in batches for i in one) == list(range(len(lengths)))
    assert all(1 <= len(one) <= batch for one in batches)
    assert sum(len(one) < batch for one in batches) <= 1
    longest_first = sorted_batches(lengths, batch)
    assert [lengths[i] for one in longest_first for i in one] == sorted(lengths, reverse=True)


def test_batches_of_like_lengths_waste_little_and_come_in_another_order_each_epoch() -> None:
    lengths = np.random.default_rng(0).geometric(0.03, 4_000)

    def padded(batches: list[Rows]) -> int:
        return sum(len(one) * int(lengths[one].max()) for one in batches)

    first, second = (epoch_batches(lengths, 32, seed=1, epoch=epoch) for epoch in (0, 1))
    plain = np.random.default_rng(1).permutation(4_000).reshape(-1, 32)
    assert padded(first) < 1.2 * lengths.sum()
    assert padded(list(plain)) > 2 * lengths.sum()
    assert [one.tolist() for one in first] != [one.tolist() for one in second]
    assert [one.tolist() for one in first] == [one.tolist() for one in epoch_batches(lengths, 32, seed=1, epoch=0)]
    # short texts do not come first
    means = [float(lengths[one].mean()) for one in first]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


@given(total=st.integers(1, 500), share=st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_again(total: int, share: float) -> None:
    warmup = warmup_steps(total, share)
    factors = [rate_factor(step, warmup=warmup, total=total) for step in range(total)]
    assert all(0 < one <= 1 for one in factors)
    assert factors[:warmup] == sorted(factors[:warmup])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Dropout(0.3), nn.ReLU(), nn.Linear(12, 1))


def fitted(
    config: LoopConfig = _CONFIG,
    *,
    checkpoints: Path | None = None,
    die_at: int | None = None,
    score: Callable[[nn.Module], float] | None = None,
) -> tuple[nn.Module, Trained]:
    model = network()

    def loss_of(rows: Rows) -> tuple[Tensor, float]:
        at = torch.from_numpy(rows)
        losses = nn.functional.binary_cross_entropy_with_logits(model(_INPUTS[at])[:, 0], _TARGETS[at], reduction="sum")
        return losses, len(rows)

    def accuracy() -> float:
        return float(((model(_INPUTS)[:, 0] > 0) == (_TARGETS > 0)).float().mean())

    def watch(done: int, _total: int | None, _what: str) -> None:
        if done == die_at:
            raise Killed

    return model, run_loop(
        model,
        _LENGTHS,
        loss_of,
        config,
        device=torch.device("cpu"),
        score=(lambda: score(model)) if score is not None else accuracy,
        checkpoints=checkpoints,
        progress=watch,
    )


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = weights_of(first), weights_of(second)
    return set(ours) == set(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_training_that_ended_early_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, told = fitted()
    # within an epoch, at its first step, and twice in a row
    for step in (7, 8, 19):
        with pytest.raises(Killed):
            fitted(checkpoints=tmp_path, die_at=step)
    resumed, told_again = fitted(checkpoints=tmp_path)
    assert told_again.resumed_at == 18
    assert same(whole, resumed)
    assert told_again.history == told.history
    assert (told_again.best_epoch, told_again.best_score) == (told.best_epoch, told.best_score)
    # one that is finished is not trained again
    again, told_last = fitted(checkpoints=tmp_path, die_at=24)
    assert told_last.resumed_at == told_last.steps == 24
    assert same(again, whole)


def test_a_damaged_checkpoint_is_named_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fitted(checkpoints=tmp_path, die_at=5)
    [last] = tmp_path.glob("step-*")
    assert {path.suffix for path in last.iterdir()} == {".safetensors", ".json"}
    content = (last / "optimizer.safetensors").read_bytes()
    (last / "optimizer.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match="remove it to train from the start"):
        fitted(checkpoints=tmp_path)
    (last / "optimizer.safetensors").write_bytes(content)
    (last / "state.json").write_text(json.dumps({"position": {}}))
    with pytest.raises(TrainingError, match="cannot be used"):
        fitted(checkpoints=tmp_path)


def test_what_was_half_written_when_it_died_is_not_taken_up(tmp_path: Path) -> None:
    whole, _ = fitted()
    with pytest.raises(Killed):
        fitted(checkpoints=tmp_path, die_at=5)
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing" / "model.safetensors").write_bytes(b"half")
    assert same(fitted(checkpoints=tmp_path)[0], whole)


def test_the_best_epoch_is_kept_and_a_stale_training_ends() -> None:
    scores = [0.5, 0.8, 0.7, 0.8, 0.6, 0.9]
    seen: list[dict[str, Tensor]] = []

    def score(model: nn.Module) -> float:
        assert not model.training
        seen.append({name: one.clone() for name, one in weights_of(model).items()})
        return scores[len(seen) - 1]

    config = LoopConfig(epochs=6, batch_size=32, learning_rate=0.02, patience=2)
    model, told = fitted(config, score=score)
    # as good as the best is not better: two epochs later it ends
    assert [one["score"] for one in told.history] == scores[:4]
    assert (told.best_epoch, told.best_score) == (1, 0.8)
    kept = weights_of(model)
    assert all(torch.equal(kept[name], one) for name, one in seen[1].items())
    assert any(not torch.equal(kept[name], one) for name, one in seen[3].items())


def test_accumulated_batches_are_one_large_batch() -> None:
    def trained(batch_size: int, accumulate: int) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        config = LoopConfig(epochs=1, batch_size=batch_size, accumulate=accumulate, learning_rate=0.1, clip=0.01)

        def loss_of(rows: Rows) -> tuple[Tensor, float]:
            # of the examples, only some count: a mean of means would be another number
            counted = torch.from_numpy(rows[rows % 3 == 0])
            losses = (model(_INPUTS[counted])[:, 0] - _TARGETS[counted]).square().sum()
            return losses, len(counted)

        run_loop(model, [1] * 96, loss_of, config, device=torch.device("cpu"))
        return model

    large, small = trained(96, 1), trained(12, 8)
    for ours, theirs in zip(large.parameters(), small.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_training_with_advice() -> None:
    model = nn.Linear(6, 1)
    with pytest.raises(TrainingError, match="lower learning rate"):
        run_loop(
            model,
            [1] * 96,
            lambda rows: (model(_INPUTS[torch.from_numpy(rows)]).sum() * float("nan"), len(rows)),
            _CONFIG,
            device=torch.device("cpu"),
        )


def test_batches_of_which_nothing_is_known_change_nothing() -> None:
    model = network()
    before = {name: one.clone() for name, one in weights_of(model).items()}
    run_loop(
        model,
        _LENGTHS,
        lambda rows: (_INPUTS[torch.from_numpy(rows)].sum() * 0, 0),
        _CONFIG,
        device=torch.device("cpu"),
    )
    assert all(torch.equal(one, before[name]) for name, one in weights_of(model).items())

"""Settings of a transformer classifier. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

#: learning rates of a pre-trained network, and of a new one
RATE, SCRATCH_RATE = 3e-5, 1e-3
#: largest number of epochs of both
EPOCHS, SCRATCH_EPOCHS = 5, 20


@dataclass(frozen=True, slots=True)
class ScratchConfig:
    """Size of the bidirectional Mistral that is made when there is no pre-trained base."""

    #: tokens of its byte-level BPE
    vocabulary: int = 4096
    hidden: int = 128
    layers: int = 2
    heads: int = 4
    #: width within a layer
    inner: int = 256


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Settings of the training of a transformer classifier."""

    #: hub name or folder of a pre-trained model; None: a small one is made from scratch
    base: str | None = None
    #: at most: training ends earlier when the dev score gets no better; None: by the kind of base
    epochs: int | None = None
    batch_size: int = 16
    #: batches to a step
    accumulate: int = 1
    #: None: by the kind of base
    learning_rate: float | None = None
    #: tokens; longer texts are cut
    max_length: int = 128
    #: largest weight of a positive
    pos_weight_cap: float = 10.0
    weight_decay: float = 0.01
    #: share of the steps in which the learning rate rises
    warmup: float = 0.06
    #: greatest norm of a gradient
    clip: float = 1.0
    #: epochs without a better dev score after which training ends
    patience: int = 3
    #: steps between two checkpoints
    checkpoint_steps: int = 200
    scratch: ScratchConfig = field(default_factory=ScratchConfig)

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return SCRATCH_RATE if self.base is None else RATE

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs."""
        if self.epochs is not None:
            return self.epochs
        return SCRATCH_EPOCHS if self.base is None else EPOCHS

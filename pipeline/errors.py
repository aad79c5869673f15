"""Every error that Saring raises on purpose.

The docstring of a class is its default message. A message is one line: what is wrong, where, and what to do about it.

    SaringError
    ├── UsageError                 the call cannot be meant as it stands (exit status 2)
    ├── TaxonomyError              the taxonomy file is not valid
    ├── StoreError
    │   ├── StoreUnavailable       the database cannot be reached
    │   └── StoreNotReady          it can, but its schema is missing or older than this code
    ├── ServiceError               an embedded service cannot be started or stopped
    ├── BackupError                a backup cannot be made, trusted, or restored
    ├── InputError                 a file cannot be read at all (a bad *row* is a rejected row, not an error)
    ├── EncoderError               texts cannot be turned into vectors
    │   └── NotEnoughVectors       too few texts of a label have a vector
    ├── LlmError                   a language model's server cannot be used as it was asked for
    │   └── LlmUnavailable         it does not answer, or answers that it cannot
    ├── TrainingError              a model cannot be trained from what was given
    │   └── NotEnoughLabels        a label has too few positives or negatives
    ├── ModelError                 a model cannot be found, read, or trusted
    ├── HubError                   the Hugging Face Hub cannot be reached, or fails
    │   └── HubRefused             it will not: the token, or what it may do
    ├── QueueError                 the queue cannot be built as it was asked for
    ├── LabelStudioError           Label Studio cannot be used as it was asked for
    │   ├── LabelStudioUnavailable   it does not answer, or answers that it cannot
    │   ├── LabelStudioRefused       it will not: the token, or what the account may do
    │   ├── LabelStudioMissing       what was asked for is not there
    │   └── UncertainOutcome         it may or may not have done what was asked
    └── RunError
        ├── RunConflict            another run of that stage is under way
        ├── RunCancelled           somebody asked that it stop
        ├── RunMissing             there is no such run
        └── RunFailed              a run ended in an error
"""

from __future__ import annotations

#: characters of another program's error that a message quotes
LONGEST_LINE = 500


def first_line(error: BaseException, *, hidden: str = "") -> str:
    """The first line of another program's error that says anything, to be quoted in a message.

    An error without words gives the name of its type. The line holds nothing that PostgreSQL cannot keep (zero bytes,
    halves of surrogate pairs), and at most 500 characters.

    Args:
        error: what was raised.
        hidden: a secret that it may quote, to be shown as ***.
    """
    words = str(error).replace("\0", "").encode("utf-8", "replace").decode()
    if hidden:
        words = words.replace(hidden, "***")
    lines = (line.strip() for line in words.splitlines())
    return next((line for line in lines if line), type(error).__name__)[:LONGEST_LINE]


class SaringError(Exception):
    """Something went wrong in Saring."""

    exit_status = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class UsageError(SaringError):
    """The command cannot be carried out as it was written; see --help."""

    exit_status = 2


class TaxonomyError(SaringError):
    """The taxonomy file is not valid."""


class StoreError(SaringError):
    """The store failed."""


class StoreUnavailable(StoreError):
    """The database cannot be reached: start it with `saring up`, or check SARING_DATABASE_URL."""


class StoreNotReady(StoreError):
    """The database has no schema, or an older one: run `saring init`."""


class ServiceError(SaringError):
    """An embedded service cannot be started or stopped."""


class BackupError(SaringError):
    """A backup cannot be made, trusted, or restored."""


class InputError(SaringError):
    """The file cannot be read."""


class EncoderError(SaringError):
    """Texts cannot be turned into vectors."""


class NotEnoughVectors(EncoderError):
    """Too few texts of the label have a vector: run `saring embed` first."""


class LlmError(SaringError):
    """The language model's server cannot be used as it was asked for."""


class LlmUnavailable(LlmError):
    """The language model's server does not answer."""


class TrainingError(SaringError):
    """No model can be trained from what was given."""


class NotEnoughLabels(TrainingError):
    """A label has too few positive or negative texts to be learnt."""


class ModelError(SaringError):
    """The model cannot be found, read, or trusted."""


class HubError(SaringError):
    """The Hugging Face Hub cannot be used."""


class HubRefused(HubError):
    """The Hugging Face Hub refuses the token: check HF_TOKEN."""


class QueueError(SaringError):
    """The queue cannot be built as it was asked for."""


class LabelStudioError(SaringError):
    """Label Studio cannot be used as it was asked for."""


class LabelStudioUnavailable(LabelStudioError):
    """Label Studio does not answer: see `saring doctor`."""


class LabelStudioRefused(LabelStudioError):
    """Label Studio refuses the token: check LABEL_STUDIO_API_KEY, or see `saring doctor`."""


class LabelStudioMissing(LabelStudioError):
    """What was asked for is not in Label Studio (any more)."""


class UncertainOutcome(LabelStudioError):
    """Label Studio was asked to create something and it is not known whether it did."""


class RunError(SaringError):
    """A run cannot go on."""


class RunConflict(RunError):
    """Another run of this stage is under way: wait for it to end."""


class RunCancelled(RunError):
    """The run was cancelled: start it again to go on from there."""


class RunMissing(RunError):
    """There is no such run: see `saring runs list`."""


class RunFailed(RunError):
    """A run ended in an error."""

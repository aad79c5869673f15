"""Every error that Saring raises on purpose.

The docstring of a class is its default message. A message is one line: what is wrong, where, and what to do about it.

    SaringError
    ├── UsageError                 the command or call is not valid (exit status 2)
    │   ├── FormError              a form has values that cannot be used (saring.actions.starting)
    │   └── UploadRefused          a file that was uploaded cannot be kept (saring.actions.incoming)
    ├── TaxonomyError              the taxonomy file is not valid
    ├── ProbeError                 a file of probe sentences is not valid
    ├── StoreError
    │   ├── StoreUnavailable       the database cannot be reached
    │   └── StoreNotReady          the database has no schema, or one older than this code
    ├── ServiceError               an embedded service cannot be started or stopped
    │   └── LeftOut                it is not to be started
    ├── BackupError                a backup cannot be made, verified, or restored
    ├── InputError                 a file cannot be read at all (a bad *row* is a rejected row, not an error)
    ├── EncoderError               texts cannot be turned into vectors
    │   └── NotEnoughVectors       too few texts of a label have a vector
    ├── LlmError                   a language model's server cannot be used as configured
    │   └── LlmUnavailable         the server does not answer, or reports that it cannot
    ├── TrainingError              a model cannot be trained from the given data
    │   └── NotEnoughLabels        a label has too few positives or negatives
    ├── ModelError                 a model cannot be found, read, or verified
    ├── HubError                   the Hugging Face Hub cannot be reached, or fails
    │   └── HubRefused             the Hub refuses the token, or the token lacks a permission
    ├── QueueError                 the queue cannot be built with these settings
    ├── ReviewError                a text cannot be settled in this way, or by this reviewer
    │   └── ReviewChanged          its votes changed since the reviewer saw them
    ├── LabelStudioError           Label Studio cannot be used as configured
    │   ├── LabelStudioUnavailable   Label Studio does not answer, or reports that it cannot
    │   ├── LabelStudioRefused       Label Studio refuses the token, or the account lacks a permission
    │   ├── LabelStudioMissing       the project, task or annotation is not in Label Studio
    │   ├── LabelStudioConflict      what was to be made is in Label Studio already
    │   └── UncertainOutcome         it is not known whether Label Studio made the change
    ├── NoticeError                a notice cannot be sent as configured
    │   └── NoticeUndelivered      the receiver of a notice does not take it now
    ├── ProviderAway               the OpenID provider does not answer (saring.accounts.oidc)
    ├── SignInRefused              a sign-in through an OpenID provider is not valid (saring.accounts.oidc)
    ├── Refused                    a request of an application cannot be answered (ml_backend.moderation.errors)
    │   ├── BadRequest             a field has a value that cannot be used
    │   ├── Unprocessable          it asks for more than is served
    │   ├── NoToken                there is no token, or it is not one of ours
    │   ├── UnknownModel           there is no such model
    │   ├── UnknownReport          there is no such report
    │   ├── TooLarge               it is too large
    │   ├── TooFast                there were too many requests with this token
    │   └── NotReady               it cannot be answered now
    └── RunError
        ├── RunConflict            another run of that stage is already running
        ├── RunCancelled           the run was cancelled
        ├── RunMissing             there is no run with that number
        └── RunFailed              a run ended in an error
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

#: characters of another program's error that a message quotes
LONGEST_LINE = 500


def first_line(error: BaseException, *, hidden: str = "") -> str:
    """The first line of another program's error that is not empty, to be quoted in a message.

    An error without a message gives the name of its type. The line has at most 500 characters, none of which
    PostgreSQL cannot store (zero bytes, lone surrogates).

    Args:
        error: the exception.
        hidden: a secret that the error may quote; it is shown as ***.
    """
    message = str(error).replace("\0", "").encode("utf-8", "replace").decode()
    if hidden:
        message = message.replace(hidden, "***")
    lines = (line.strip() for line in message.splitlines())
    return next((line for line in lines if line), type(error).__name__)[:LONGEST_LINE]


class SaringError(Exception):
    """Something went wrong in Saring."""

    exit_status = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class UsageError(SaringError):
    """The command cannot be run as it was written: see --help."""

    exit_status = 2


class _FileError(SaringError):
    """A file that people write is not valid."""

    #: every mistake of the file, one line each, in the order of lines; empty: the message says all
    problems: tuple[str, ...] = ()
    #: the command that lists them
    lister: ClassVar[str]

    @classmethod
    def listing(cls, problems: Sequence[str]) -> Self:
        """An error for all these mistakes, whose message is the first of them and the number of the others."""
        more = len(problems) - 1
        error = cls(problems[0] if not more else f"{problems[0]} ({more} more: `{cls.lister}` lists them)")
        error.problems = tuple(problems)
        return error


class TaxonomyError(_FileError):
    """The taxonomy file is not valid."""

    lister = "saring taxonomy check"


class ProbeError(_FileError):
    """A file of probe sentences is not valid."""

    lister = "saring probes check"


class StoreError(SaringError):
    """The store failed."""


class StoreUnavailable(StoreError):
    """The database cannot be reached: start it with `saring up`, or check SARING_DATABASE_URL."""


class StoreNotReady(StoreError):
    """The database has no schema, or an older one: run `saring init`."""


class ServiceError(SaringError):
    """An embedded service cannot be started or stopped."""


class LeftOut(ServiceError):
    """The service was left out with `saring up --without`: `saring up` starts it."""


class BackupError(SaringError):
    """The backup cannot be made, verified, or restored."""


class InputError(SaringError):
    """The file cannot be read."""


class EncoderError(SaringError):
    """Texts cannot be turned into vectors."""


class NotEnoughVectors(EncoderError):
    """Too few texts of the label have a vector: run `saring embed` first."""


class LlmError(SaringError):
    """The language model's server cannot be used as configured."""


class LlmUnavailable(LlmError):
    """The language model's server does not answer."""


class TrainingError(SaringError):
    """No model can be trained from the given data."""


class NotEnoughLabels(TrainingError):
    """A label has too few positive or negative texts to be learned."""


class ModelError(SaringError):
    """The model cannot be found, read, or verified."""


class HubError(SaringError):
    """The Hugging Face Hub cannot be used."""


class HubRefused(HubError):
    """The Hugging Face Hub refuses the token: check HF_TOKEN."""


class QueueError(SaringError):
    """The queue cannot be built with these settings."""


class ReviewError(SaringError):
    """The text cannot be settled."""


class ReviewChanged(ReviewError):
    """The votes on this text changed since it was shown: look at it again."""


class LabelStudioError(SaringError):
    """Label Studio cannot be used as configured."""


class LabelStudioUnavailable(LabelStudioError):
    """Label Studio does not answer: see `saring doctor`."""


class LabelStudioRefused(LabelStudioError):
    """Label Studio refuses the token: check LABEL_STUDIO_API_KEY, or see `saring doctor`."""


class LabelStudioMissing(LabelStudioError):
    """The project, task or annotation is not in Label Studio (any more)."""


class LabelStudioConflict(LabelStudioError):
    """Label Studio has this already."""


class UncertainOutcome(LabelStudioError):
    """Label Studio did not confirm a change: it is not known whether the change was made."""


class NoticeError(SaringError):
    """The notice cannot be sent as configured: check notices.yaml."""


class NoticeUndelivered(NoticeError):
    """The receiver of the notice does not take it now: it is tried again."""


class RunError(SaringError):
    """The run cannot continue."""


class RunConflict(RunError):
    """Another run of this stage is already running: wait for it to end."""


class RunCancelled(RunError):
    """The run was cancelled: start it again to continue from there."""


class RunMissing(RunError):
    """There is no run with that number: see `saring runs list`."""


class RunFailed(RunError):
    """The run ended in an error."""

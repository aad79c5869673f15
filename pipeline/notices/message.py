"""The form in which a notice leaves: a JSON object for programs, a letter for people."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import Any

import orjson

from pipeline.plural import counted

#: characters of a message or a subject
LONGEST_MESSAGE, LONGEST_SUBJECT = 500, 120
_TITLES = {
    "run-failed": "a run failed",
    "gate-rejected": "a new model was not promoted",
    "queue-empty": "no texts are left for people",
    "drift": "the texts have changed",
    "disk-low": "the disk is almost full",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as a channel sends it."""

    id: uuid.UUID
    kind: str
    subject: str
    message: str
    at: datetime
    #: the install that sends it
    sender: str
    #: earlier notices of this kind and subject that were held back since the last one
    held_back: int = 0
    #: 1 at the first attempt; the receiver knows a repeated notice by its id
    attempt: int = 1
    #: True: somebody tries the channel, and nothing happened
    is_test: bool = False

    @property
    def title(self) -> str:
        """A short heading."""
        title = _TITLES.get(self.kind, self.kind)
        return f"{'test: ' if self.is_test else ''}{title}: {self.subject}"

    @property
    def text(self) -> str:
        """The message with the number of those that were held back."""
        if not self.held_back:
            return self.message
        return f"{self.message} ({counted(self.held_back, 'earlier one was', 'earlier ones were')} held back)"

    def to_json(self) -> bytes:
        """One JSON object. Chat programs show `text`."""
        fields: dict[str, Any] = {
            "id": str(self.id),
            "kind": self.kind,
            "subject": self.subject,
            "title": self.title,
            "text": self.text,
            "at": self.at.isoformat(timespec="seconds"),
            "from": self.sender,
            "held_back": self.held_back,
            "attempt": self.attempt,
            "test": self.is_test,
        }
        return orjson.dumps(fields)

    def to_email(self, sender: str, receivers: tuple[str, ...]) -> EmailMessage:
        """A letter. Repeated, it has the same Message-ID, by which mail programs show it once.

        Args:
            sender: address that it is from.
            receivers: addresses that it goes to.
        """
        letter = EmailMessage()
        letter["Subject"] = f"[saring] {self.title}"
        letter["From"] = formataddr((f"Saring ({self.sender})", sender))
        letter["To"] = ", ".join(receivers)
        letter["Date"] = format_datetime(self.at)
        letter["Message-ID"] = f"<{self.id}@{sender.rpartition('@')[2]}>"
        # other programs do not answer it, so nothing goes round in circles
        letter["Auto-Submitted"] = "auto-generated"
        letter["X-Saring-Kind"] = self.kind
        letter.set_content(f"{self.text}\n\n-- \n{self.sender}, {self.kind}, {self.at:%Y-%m-%d %H:%M} UTC\n")
        return letter


def one_line(text: str, longest: int) -> str:
    """A text on one line, without control characters."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:longest]

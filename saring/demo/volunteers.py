"""Simulated volunteers, who sign up and annotate over Label Studio's own HTTP API, as its page does.

They differ in skill, in speed, and in the probability of accepting ticked labels unread. The last persona is careless.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from pipeline.errors import LabelStudioUnavailable

Json = dict[str, Any]
#: true labels of each task, by the text id in its data
Truth = Mapping[str, Collection[str]]

_SAFE = "safe for work"
_UNDECIDED = "can't decide"


@dataclass(frozen=True, slots=True)
class Persona:
    """The properties of a simulated volunteer."""

    name: str
    #: probability of a right answer to a text that they read
    skill: float
    #: probability of accepting the ticked labels unread
    trust: float
    #: median number of seconds for a text
    seconds: float
    #: True for a volunteer who answers at random if nothing is ticked
    careless: bool = False

    @property
    def email(self) -> str:
        """The e-mail address of their account."""
        return f"{self.name}@volunteers.example"


PERSONAS = (
    Persona("aminah", skill=0.98, trust=0.05, seconds=11.0),
    Persona("balan", skill=0.95, trust=0.10, seconds=9.0),
    Persona("chen", skill=0.92, trust=0.20, seconds=7.0),
    Persona("dayang", skill=0.88, trust=0.35, seconds=8.0),
    Persona("eddie", skill=0.50, trust=0.25, seconds=1.1, careless=True),
)


@dataclass(slots=True)
class Worked:
    """The work of one volunteer."""

    persona: Persona
    user_id: int
    submitted: int = 0
    skipped: int = 0
    undecided: int = 0
    #: Label Studio's ids of the tasks, in order
    tasks: list[int] = field(default_factory=list)


class Volunteer:
    """A signed-in volunteer: a session with cookies, as in a browser."""

    def __init__(self, url: str, persona: Persona, password: str) -> None:
        self.persona = persona
        self._password = password
        self._http = httpx.Client(base_url=url, timeout=60.0)
        self.user_id = 0

    def sign_up(self, invite: str) -> None:
        """Create the account by an invitation, or log in to it.

        Raises:
            LabelStudioUnavailable: both failed.
        """
        self._http.get(invite)
        self._submit(invite, {"email": self.persona.email, "password": self._password})
        answer = self._http.get("/api/current-user/whoami")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._http.get("/user/login/")
            self._submit("/user/login/", {"email": self.persona.email, "password": self._password})
            answer = self._http.get("/api/current-user/whoami")
        if not answer.is_success:
            raise LabelStudioUnavailable(
                f"{self.persona.email} can neither sign up nor log in at {self._http.base_url}: "
                "run `saring down` in the demo's home, and remove this folder"
            )
        self.user_id = int(answer.json()["id"])

    def next_task(self, project: int) -> Json | None:
        """The next task from the server; None if there is none left."""
        answer = self._http.get(f"/api/projects/{project}/next")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        task: Json = answer.raise_for_status().json()
        return task

    def submit(self, task: Json, annotation: Json) -> None:
        """Send an annotation, as the page's Submit does."""
        path = f"/api/tasks/{task['id']}/annotations/"
        self._http.post(path, json=annotation, headers=self._proof()).raise_for_status()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _submit(self, path: str, form: Mapping[str, str]) -> None:
        token = self._http.cookies.get("csrftoken") or ""
        self._http.post(path, data={**form, "csrfmiddlewaretoken": token}, headers=self._proof())

    def _proof(self) -> dict[str, str]:
        token = self._http.cookies.get("csrftoken") or ""
        return {"X-CSRFToken": token, "Referer": str(self._http.base_url)}


def work_together(
    url: str,
    invite: str,
    project: int,
    truth: Truth,
    labels: Sequence[str],
    *,
    each: int,
    password: str,
    seed: int,
    personas: Sequence[Persona] = PERSONAS,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Worked]:
    """Have all volunteers annotate at the same time, up to `each` tasks for each of them.

    Args:
        url: address of Label Studio.
        invite: path of the invitation to sign up.
        project: Label Studio's id of the project.
        truth: the true labels of each text.
        labels: labels to choose from.
        each: largest number of tasks for a volunteer.
        password: the password of the accounts.
        seed: seed of their mistakes.
        personas: the volunteers.
        tell: called with 1 after each annotation.
    """

    def work(persona: Persona) -> Worked:
        volunteer = Volunteer(url, persona, password)
        try:
            volunteer.sign_up(invite)
            rng = random.Random(f"{seed} {persona.name}")  # noqa: S311 - a simulation
            return _annotate(volunteer, project, truth, labels, each, rng, tell)
        except httpx.HTTPError as error:
            raise LabelStudioUnavailable(
                f"{persona.email} could not continue ({error}); see `saring doctor`"
            ) from error
        finally:
            volunteer.close()

    with ThreadPoolExecutor(len(personas)) as pool:
        return list(pool.map(work, personas))


def _annotate(
    volunteer: Volunteer,
    project: int,
    truth: Truth,
    labels: Sequence[str],
    each: int,
    rng: random.Random,
    tell: Callable[[int], None],
) -> Worked:
    worked = Worked(volunteer.persona, volunteer.user_id)
    for _ in range(each):
        task = volunteer.next_task(project)
        if task is None:
            break
        true = truth.get(str(task["data"].get("text_id")), (_SAFE,))
        annotation = answer(volunteer.persona, task, true, labels, rng)
        volunteer.submit(task, annotation)
        worked.tasks.append(int(task["id"]))
        if annotation["was_cancelled"]:
            worked.skipped += 1
        elif any(region["from_name"] == "undecided" for region in annotation["result"]):
            worked.undecided += 1
        else:
            worked.submitted += 1
        tell(1)
    return worked


def answer(persona: Persona, task: Json, true: Collection[str], labels: Sequence[str], rng: random.Random) -> Json:
    """A volunteer's annotation of a task, in the form that Label Studio's page sends."""
    prediction = (task.get("predictions") or [None])[0]
    ticked = _ticked(prediction)
    unread = ticked is not None and rng.random() < persona.trust
    skips = not unread and not persona.careless and rng.random() < 0.01
    # A text in another language, which the ingest did not detect, has no true label.
    doubts = not unread and not persona.careless and (rng.random() < 0.02 or not true)
    if unread:
        chosen = sorted(ticked or ())
    elif persona.careless:
        chosen = [rng.choice(labels)]
    else:
        chosen = _judged(true, labels, persona.skill, rng)
    regions: list[Json] = []
    if doubts:
        regions.append(_region("undecided", [_UNDECIDED], "manual"))
    else:
        origin = "manual" if ticked is None else "prediction" if set(chosen) == ticked else "prediction-changed"
        regions.append(_region("labels", chosen, origin))
    return {
        "result": regions,
        "was_cancelled": skips,
        "lead_time": round(persona.seconds * math.exp(rng.gauss(0.0, 0.35)), 2),
        "parent_prediction": prediction["id"] if prediction and ticked is not None else None,
    }


def _judged(true: Collection[str], labels: Sequence[str], skill: float, rng: random.Random) -> list[str]:
    if rng.random() < skill:
        return sorted(true)
    # Mistakes are mostly a missed violation, or a wrong label in its place.
    violations = [label for label in labels if label != _SAFE]
    return [_SAFE] if _SAFE not in true and rng.random() < 0.5 else [rng.choice(violations)]


def _ticked(prediction: Json | None) -> set[str] | None:
    """The labels that are ticked when the task is opened; None if there are none."""
    if prediction is None:
        return None
    ticked = {
        choice
        for region in prediction["result"]
        if region.get("from_name") == "labels"
        for choice in region["value"]["choices"]
    }
    return ticked or None


def _region(control: str, choices: list[str], origin: str) -> Json:
    return {
        "id": control,
        "from_name": control,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": choices},
        "origin": origin,
    }

"""Questions to a language model as a stage sees them: an iterator of what came, each reply kept before it is shown."""

from __future__ import annotations

import asyncio
import queue
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.raters.llm.budget import Budget
from pipeline.raters.llm.client import Answer, LLMClient, Reply, Request
from pipeline.raters.llm.config import LLMConfig
from pipeline.raters.llm.prompt import Message
from pipeline.raters.llm.replies import Replies, reply_key


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by what its answer is known to whoever asks."""

    id: object
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one question."""

    id: object
    answer: Answer
    #: it was known: nothing was spent
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


def ask(
    client: LLMClient,
    config: LLMConfig,
    questions: Iterable[Sequence[Question]],
    replies: Replies,
    budget: Budget,
    *,
    model: str,
    run_id: int | None,
    rater_id: int | None,
) -> Iterator[list[Answered]]:
    """Ask, and yield what came since it was last looked at; ends early when the budget is spent.

    The requests run in a thread of their own; whoever iterates may take a transaction's time over what came. Stopping
    the iteration cancels what is under way, and keeps what had come.

    Raises:
        RaterRefused, RaterUnavailable: see `LLMClient.ask_all`.
    """
    came: queue.SimpleQueue[Answered | _End] = queue.SimpleQueue()
    asked: dict[uuid.UUID, list[object]] = {}
    errand = _Errand()

    def requests() -> Iterator[Request]:
        for chunk in questions:
            keyed = [(reply_key(model, one.messages, config), one) for one in chunk]
            known = replies.known([key for key, _ in keyed])
            for key, one in keyed:
                if key in known:
                    came.put(Answered(one.id, known[key], kept=True))
                elif key in asked:
                    # the same question twice at once, of texts that look alike once shortened or masked
                    asked[key].append(one.id)
                else:
                    asked[key] = [one.id]
                    yield Request(key, one.messages)

    def on_answer(answer: Answer) -> None:
        for number, whose in enumerate(asked.pop(answer.key, [])):
            came.put(Answered(whose, answer, kept=number > 0))

    def work() -> None:
        try:
            errand.run(client, requests(), budget, on_answer)
        # whatever it is, it is raised where the answers are waited for
        except BaseException as error:  # noqa: BLE001
            came.put(_End(error))
        else:
            came.put(_End())

    thread = threading.Thread(target=work, name="saring-llm", daemon=True)
    thread.start()
    end: _End | None = None
    try:
        while end is None:
            batch, end = _drained(came)
            replies.save(_paid(batch), run_id=run_id, rater_id=rater_id)
            if batch:
                yield batch
    finally:
        errand.cancel()
        thread.join()
        if end is None:
            left, _ = _drained(came)
            replies.save(_paid(left), run_id=run_id, rater_id=rater_id)
    if end.error is not None:
        raise end.error


def _drained(came: queue.SimpleQueue[Answered | _End]) -> tuple[list[Answered], _End | None]:
    """At least one thing that came, and all that came with it."""
    batch: list[Answered] = []
    found: Answered | _End = came.get()
    while True:
        if isinstance(found, _End):
            return batch, found
        batch.append(found)
        try:
            found = came.get_nowait()
        except queue.Empty:
            return batch, None


def _paid(batch: Sequence[Answered]) -> list[Reply]:
    return [one.answer for one in batch if not one.kept and isinstance(one.answer, Reply)]


class _Errand:
    """An event loop in a thread, which another thread may call back."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._called_back = False

    def run(self, client: LLMClient, requests: Iterable[Request], budget: Budget, on_answer: object) -> None:
        async def ask_all() -> None:
            with self._guard:
                self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
                if self._called_back:
                    return
            try:
                await client.ask_all(requests, budget, on_answer)  # type: ignore[arg-type]
            except asyncio.CancelledError:
                if not self._called_back:
                    raise
            finally:
                with self._guard:
                    self._task = None

        asyncio.run(ask_all())

    def cancel(self) -> None:
        """Have it end soon; does nothing when it has."""
        with self._guard:
            self._called_back = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

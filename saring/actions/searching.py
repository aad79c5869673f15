"""Search the texts of a home, prepare the search, and put what was found into the queue."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from pipeline.errors import UsageError
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, run
from pipeline.runs.stage import WorkContext
from pipeline.runs.whole import WholeStage
from pipeline.search import saved, spelling
from pipeline.search.find import Found, search
from pipeline.search.near import index_of, make_index
from pipeline.search.neighbours import Neighbour, labelled_neighbours
from pipeline.search.query import Query
from pipeline.search.saved import Saved
from pipeline.search.votes import TextVote, votes_on
from pipeline.store.session import open_session
from saring.actions.labels import require_label
from saring.context import Context

if TYPE_CHECKING:
    from pipeline.queue.pick import Picked
    from pipeline.vectors.encoders.protocol import Vectors

#: largest number of texts on a page
MOST_SHOWN = 200


def find(home: Context, query: Query, *, limit: int = 20, offset: int = 0) -> Found:
    """Texts that a search finds, the best first, each with the decisions on its labels. Texts are masked.

    Args:
        home: the home with the store.
        query: what is looked for.
        limit: largest number of texts, at most 200.
        offset: number of texts to pass over.

    Raises:
        UsageError: the search cannot be understood, or takes too long.
        EncoderError: the text to be like has no vector, or the encoder cannot be used.
    """
    if not 1 <= limit <= MOST_SHOWN or offset < 0:
        raise UsageError(f"a page of a search has 1 to {MOST_SHOWN} texts, from the first on")
    if query.label is not None:
        query = replace(query, label=require_label(home, query.label))
    vector = _vector(home, query.meaning) if query.meaning else None
    with open_session(home.engine) as session:
        return search(session, home.taxonomy, query, encoder=home.space, meaning=vector, offset=offset, limit=limit)


def _vector(home: Context, sentence: str) -> Vectors:
    """The vector of a sentence, which is repaired and masked as the texts are."""
    from pipeline.texts.labelled_files import clean

    vector: Vectors = home.encoder().encode([clean(sentence)])[0]
    return vector


def neighbours(home: Context, text_id: uuid.UUID, *, most: int = 5) -> Sequence[Neighbour]:
    """The texts that people or data sets labelled and that are most like a text.

    Raises:
        EncoderError: the text has no vector.
    """
    with open_session(home.engine) as session:
        return labelled_neighbours(session, home.taxonomy, home.space, text_id, most=most)


def votes(home: Context, text_id: uuid.UUID) -> Sequence[TextVote]:
    """The present votes of raters on a text, with scores and explanations."""
    with open_session(home.engine) as session:
        return votes_on(session, text_id)


def save_search(home: Context, name: str, query: Query, *, account: int | None = None) -> int:
    """Keep a search under a name, in place of the one of that name; its id.

    Raises:
        UsageError: the name is empty or too long.
    """
    with home.begin() as session:
        return saved.save(session, name, query, account=account)


def saved_searches(home: Context, *, account: int | None = None) -> Sequence[Saved]:
    """The saved searches of an account, and everybody's."""
    with open_session(home.engine) as session:
        return saved.saved(session, account=account)


def forget_search(home: Context, saved_id: int, *, account: int | None = None) -> None:
    """Remove a saved search.

    Raises:
        UsageError: there is none, or it is somebody else's.
    """
    with home.begin() as session:
        if not saved.forget(session, saved_id, account=account):
            raise UsageError("there is no such saved search: it may have been removed before")


def pick(home: Context, ids: Sequence[uuid.UUID], *, why: str, label: str | None = None, first: bool = False) -> Picked:
    """Put texts into the queue by hand. Their inclusion probability is unknown, so no estimate uses their answers.

    Args:
        home: the home with the queue.
        ids: the texts.
        why: the reason, for people.
        label: the label that they are chosen for.
        first: before all queued texts; otherwise behind them.

    Raises:
        QueueError: there are too many texts, or there is no reason.
    """
    from pipeline.queue.pick import pick as put_in
    from saring.actions.models import kept_champion

    key = require_label(home, label) if label else None
    model = kept_champion(home)
    with home.begin() as session:
        return put_in(session, home.taxonomy, ids, why=why, model=model, label=key, first=first)


@dataclass(frozen=True, slots=True)
class SearchParams:
    """The parameters of preparing the search."""


@dataclass(frozen=True, slots=True)
class SearchPrepared:
    """The present state of the search's indexes."""

    #: words that other spellings are found among
    words: int
    #: the space of vectors in use
    encoder: str
    vectors: int
    #: True: an index of the vectors was made now; False: there was one, or there are no vectors
    index_made: bool


class SearchStage(WholeStage[SearchParams, SearchPrepared]):
    """Count the words of the texts, and make the index of the vectors."""

    name = "search-index"
    what = "preparing the search"
    params = SearchParams
    report = SearchPrepared

    def call(self, home: WorkContext, params: SearchParams, progress: Progress) -> SearchPrepared:  # noqa: ARG002
        """Prepare the search."""
        from pipeline.vectors.spaces import space_in_use

        encoder = space_in_use(home.engine, home.settings)
        with home.begin() as session:
            words = spelling.renew(session)
        with open_session(home.engine) as session:
            before = index_of(session, encoder)
        # Of a database elsewhere nobody here knows how much memory it has.
        memory = psutil.virtual_memory().available // 2 if home.settings.database_url is None else None
        made = before.vectors > 0 and make_index(home.engine, encoder, memory=memory, progress=progress)
        with open_session(home.engine) as session:
            return SearchPrepared(words, encoder, index_of(session, encoder).vectors, made)


def prepare(home: Context, *, executor: Executor | None = None, progress: Progress = silent) -> SearchPrepared:
    """Prepare the search: count words for other spellings, and make the index of the vectors in use if there is none.

    The index of a million vectors takes long, and some gigabytes of memory (docs/search.md). Others work meanwhile.

    Args:
        home: the home with the store.
        executor: the place where the stage runs; None: this process.
        progress: told how many vectors are in the index.

    Raises:
        RunConflict: the search is being prepared already.
    """
    return run(SearchStage(), home, SearchParams(), executor=executor, progress=progress)

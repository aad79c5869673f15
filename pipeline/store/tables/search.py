"""The tables of the search: words of the texts for other spellings, and saved searches."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.store.tables.core import Base, Json


class SearchWord(Base):
    """A word of the texts, in small letters, with its trigrams: to find words that are spelled alike.

    The rows are made anew, all together, by `pipeline.search.spelling.renew`.
    """

    __tablename__ = "search_word"

    word: Mapped[str] = mapped_column(primary_key=True)
    #: texts that have it, among those that were counted
    texts: Mapped[int]
    #: three letters in a row, blanks at both ends included
    trigrams: Mapped[list[str]]

    __table_args__ = (Index("ix_search_word_trigrams", "trigrams", postgresql_using="gin"),)


class SavedSearch(Base):
    """A search that somebody keeps under a name."""

    __tablename__ = "saved_search"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: the account that it belongs to; None: it was saved on the command line, and everybody sees it
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    name: Mapped[str]
    #: words, text and filters, as `pipeline.search.query.Query.values` gives them
    query: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (UniqueConstraint("account_id", "name", postgresql_nulls_not_distinct=True),)

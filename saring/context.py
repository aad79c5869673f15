"""The context of a home: settings, taxonomy, store and other slow parts, each loaded at its first use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.atomic import write_file
from pipeline.settings import TAXONOMY_FILE, Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from pipeline.taxonomy import Taxonomy
    from pipeline.vectors.encoders.protocol import Encoder

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Context:
    """The context of actions and stages: settings, taxonomy, store, encoders.

    Args:
        settings: the settings of the home.
    """

    settings: Settings = field(default_factory=load_settings)
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make a value at the first call, and return the same value later: encoders and models are slow to load."""
        if key not in self._kept:
            self._kept[key] = make()
        value: T = self._kept[key]
        return value

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Open a transaction, which is committed at the end of the block.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        from pipeline.store.session import open_session

        with open_session(self.engine) as session, session.begin():
            yield session

    def close(self, *, theirs: bool = False) -> None:
        """Close the store's connections.

        Args:
            theirs: the connections belong to the parent of this forked process, and stay open there.
        """
        if "engine" in self.__dict__:
            self.engine.dispose(close=not theirs)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy of the home, which keeps a copy: used without the setting, it is the same project still."""
        from pipeline.taxonomy import load_taxonomy

        taxonomy = load_taxonomy(self.settings.taxonomy_file)
        self._keep_file()
        return taxonomy

    def _keep_file(self) -> None:
        """Copy the file of the taxonomy into the home, once there is a home."""
        given, kept = self.settings.taxonomy, self.settings.home / TAXONOMY_FILE
        if given is not None and self.settings.home.is_dir():
            written = given.read_bytes()
            if not kept.is_file() or kept.read_bytes() != written:
                write_file(kept, written)

    @property
    def space(self) -> str:
        """The space of vectors in use: the store's active space, or the settings' if there is none yet.

        Raises:
            UsageError: the settings name no encoder.
        """
        from pipeline.vectors.spaces import space_in_use

        return space_in_use(self.engine, self.settings)

    def encoder(self, name: str | None = None) -> Encoder:
        """The encoder of this name, or of the space in use; loaded once.

        Raises:
            EncoderError: the encoder can't be loaded or reached.
        """
        from pipeline.vectors.embed import encoder_of

        return encoder_of(self, name)

    @cached_property
    def engine(self) -> Engine:
        """The store. The embedded server is started if it does not run, and an empty database gets its tables.

        Raises:
            StoreUnavailable: the database cannot be reached.
            StoreNotReady: its schema is older or newer than this code.
        """
        from pipeline.store.migrate import current_and_head, require_head, upgrade
        from pipeline.store.session import make_engine
        from saring.services import ensure_database

        engine = make_engine(ensure_database(self.settings))
        if current_and_head(engine)[0] is None:
            upgrade(engine)
        require_head(engine)
        self._keep_taxonomy(engine)
        if "taxonomy" in self.__dict__:
            # it was read before the store made the home
            self._keep_file()
        return engine

    def _keep_taxonomy(self, engine: Engine) -> None:
        """Keep the taxonomy in a store whose judgements an older Saring made, which did not keep it."""
        from pipeline.errors import TaxonomyError
        from pipeline.ledger.taxonomies import is_due, keep_taxonomy
        from pipeline.store.session import open_session
        from pipeline.taxonomy import version_of

        try:
            # reading the labels takes as long as starting, and most of the time nothing is missing
            version = version_of(self.settings.taxonomy_file)
            with open_session(engine) as session, session.begin():
                if is_due(session, version):
                    keep_taxonomy(session, self.taxonomy)
        except TaxonomyError:
            # whoever needs the labels says what is wrong with the file
            log.debug("the taxonomy cannot be read, so its version is not kept")

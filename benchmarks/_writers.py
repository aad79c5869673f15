"""Rows a second that the database takes in, from one writer and from several."""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy import Engine, text

#: rows a transaction
_BATCH = 1_000


def rows_per_second(engine: Engine, writers: int, batches: int = 10) -> float:
    """Rows a second that so many writers insert, a text and a judgement each, committed in batches."""
    with engine.connect() as connection:
        rater = int(connection.execute(text("SELECT min(id) FROM rater")).scalar_one())
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        raw: Any = engine.raw_connection()
        try:
            for batch in range(batches):
                _write_batch(raw, rater, f"{writers}{writer:04d}{batch:07d}")
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            errors.append(error)
        finally:
            raw.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if errors:
        raise errors[0]
    # Each text has two rows.
    return 2 * _BATCH * batches * writers / seconds


def _write_batch(raw: Any, rater: int, prefix: str) -> None:
    body = "benar ke tidak pun saya tak pasti, tapi itulah yang orang kata di kedai kopi pagi tadi " * 2
    ids = [_spread_id(prefix, row) for row in range(_BATCH)]
    with raw.cursor() as cursor:
        with cursor.copy("COPY text (id, body, masked) FROM STDIN") as copy:
            copy.write("".join(f"{text_id}\t{body}\t{body}\n" for text_id in ids))
        with cursor.copy("COPY judgement (rater_id, text_id, asserted, taxonomy_version) FROM STDIN") as copy:
            copy.write("".join(f"{rater}\t{text_id}\t{{hate}}\tbenchmark\n" for text_id in ids))
    raw.commit()


def _spread_id(prefix: str, row: int) -> str:
    """Hash-like, as ids of texts are: indexes are written all over."""
    number = (int(f"{prefix}{row:04d}") * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)
    return f"{number:032x}"

"""Finding texts by words, by likeness and by what is known of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy import Engine, insert, text, update

from pipeline import store
from pipeline.errors import EncoderError, UsageError
from pipeline.judgement import Tier
from pipeline.search import saved
from pipeline.search.find import Found, search
from pipeline.search.near import index_of, make_index
from pipeline.search.neighbours import labelled_neighbours
from pipeline.search.query import Query
from pipeline.search.spelling import renew, spellings
from pipeline.search.votes import votes_on
from pipeline.store import open_session
from pipeline.store.tables.core import WORDS_OF_TEXT
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.protocol import unit
from pipeline.vectors.table import put_vectors
from tests.support.commands import typed
from tests.support.queue import AISYAH, BALA, LLM, Shelf, Space


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def shelf(engine: Engine, taxonomy: Taxonomy) -> Shelf:
    return Shelf(engine, taxonomy)


def put(shelf: Shelf, *bodies: str, **more: object) -> list[uuid.UUID]:
    """Texts with words of their own, without vectors."""
    ids = [text_id(body) for body in bodies]
    with open_session(shelf.engine) as session, session.begin():
        rows = [{"id": i, "body": "secret", "masked": body} | more for i, body in zip(ids, bodies, strict=True)]
        session.execute(insert(store.Text), rows)
    return ids


def place(shelf: Shelf, ids: Sequence[uuid.UUID], angles: Sequence[float]) -> None:
    """Vectors in a plane, at these angles."""
    vectors = np.zeros((len(ids), Space.dimension), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    with open_session(shelf.engine) as session, session.begin():
        put_vectors(session, Space.name, ids, unit(vectors))


def find(shelf: Shelf, limit: int = 20, offset: int = 0, **values: object) -> Found:
    with open_session(shelf.engine) as session:
        return search(session, shelf.taxonomy, Query.of(values), encoder=Space.name, limit=limit, offset=offset)


def ids_of(found: Found) -> list[uuid.UUID]:
    return [hit.text_id for hit in found.hits]


def test_words_are_found_whatever_their_case_and_order(shelf: Shelf) -> None:
    rain, market, both = put(shelf, "Hujan lebat petang tadi", "pasar malam di Bangi", "pasar tutup sebab hujan")
    assert set(ids_of(find(shelf, words="HUJAN"))) == {rain, both}
    assert ids_of(find(shelf, words="hujan pasar")) == [both]
    assert ids_of(find(shelf, words='"pasar malam"')) == [market]
    assert set(ids_of(find(shelf, words="hujan or malam"))) == {rain, market, both}
    assert ids_of(find(shelf, words="hujan -pasar")) == [rain]
    nothing = find(shelf, words="salji")
    assert (nothing.hits, nothing.known, nothing.complete) == ([], 0, True)
    # a short text with the word is a better match than a long one
    long, short = put(shelf, "durian " + " ".join(f"kata{i}" for i in range(60)), "durian murah")
    assert ids_of(find(shelf, words="durian")) == [short, long]


@pytest.mark.parametrize(
    ("words", "said"), [("?!", "there is no word to search for"), ("-hujan", "at least one word that the texts have")]
)
def test_words_that_say_nothing_are_refused(shelf: Shelf, words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(shelf, words=words)


@pytest.mark.parametrize(
    "words", ["'; DROP TABLE text; --", "a & b | !c <-> (", "\x00hujan\x00", "lain:* %s :x", "😀 hujan"]
)
def test_any_characters_may_be_typed(shelf: Shelf, words: str) -> None:
    put(shelf, "hujan")
    find(shelf, words=words)
    assert find(shelf, words="hujan").known == 1


def test_a_frequent_word_does_not_cost_more_than_a_rare_one(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    put(shelf, *(f"biasa sahaja nombor{i}" for i in range(60)))
    monkeypatch.setattr("pipeline.search.words.MOST_LOOKED", 40)
    first = find(shelf, words="biasa", limit=30)
    assert (first.looked, first.known, first.complete, first.more) == (40, 40, False, True)
    second = find(shelf, words="biasa", limit=30, offset=30)
    assert (len(second.hits), second.more) == (10, False)
    assert not set(ids_of(first)) & set(ids_of(second))
    rare = find(shelf, words="biasa nombor7")
    assert (rare.known, rare.complete) == (1, True)


def test_the_words_of_texts_are_looked_up_in_the_index(shelf: Shelf) -> None:
    put(shelf, *(f"teks ke{i}" for i in range(50)))
    with open_session(shelf.engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.execute(text(f"EXPLAIN SELECT FROM text WHERE {WORDS_OF_TEXT} @@ 'ke7'")).scalars().all()
    assert any("ix_text_words" in line for line in plan)


def test_a_text_of_any_length_can_be_stored_and_found(shelf: Shelf) -> None:
    [long] = put(shelf, "hujan " + " ".join(f"kata{i}panjangsekali" for i in range(80_000)))
    assert ids_of(find(shelf, words="hujan kata7panjangsekali")) == [long]


def test_texts_are_found_by_what_is_believed_of_them(shelf: Shelf) -> None:
    gold, silver, disputed, free = put(shelf, *(f"cuaca {i}" for i in range(4)))
    shelf.say(AISYAH, [gold, disputed], {"hate"})
    shelf.say(BALA, [disputed], set(), {"hate"})
    shelf.say(LLM, [silver, gold], {"hate"})
    assert set(ids_of(find(shelf, label="hate"))) == {gold, silver}
    assert ids_of(find(shelf, label="hate", tier="gold")) == [gold]
    assert ids_of(find(shelf, label="hate", tier="contested")) == [disputed]
    assert ids_of(find(shelf, words="cuaca", tier="silver")) == [silver]
    assert ids_of(find(shelf, words="cuaca", tier="unknown")) == [free]
    assert set(ids_of(find(shelf, whereabouts="judged"))) == {gold, disputed}
    [hit] = find(shelf, label="hate", tier="gold").hits
    assert [(label.key, label.value, label.tier) for label in hit.labels] == [("hate", True, Tier.GOLD)]
    assert hit.harsh
    assert hit.judged_by_people


def test_a_withdrawn_judgement_is_not_believed(shelf: Shelf) -> None:
    [one] = put(shelf, "cuaca baik")
    shelf.say(AISYAH, [one], {"hate"})
    shelf.say(AISYAH, [one], set(), withdrawn=True)
    assert ids_of(find(shelf, label="hate")) == []
    assert ids_of(find(shelf, words="cuaca", whereabouts="free")) == [one]


def test_texts_are_found_by_language_source_and_whereabouts(shelf: Shelf) -> None:
    malay, english, queued, sent = put(shelf, "cuaca satu", "cuaca two", "cuaca tiga", "cuaca empat")
    with open_session(shelf.engine) as session, session.begin():
        session.execute(update(store.Text).where(store.Text.id == english).values(language="en"))
        source = store.Source(name="forum")
        session.add(source)
        session.flush()
        session.add(store.TextSource(source_id=source.id, external_id="1", text_id=malay, run_id=1))
        session.add(
            store.QueueItem(text_id=queued, strategy="random", reason="drawn", inclusion_probability=0.5, priority=0.5)
        )
    shelf.push(shelf.project(), [sent])
    assert ids_of(find(shelf, words="cuaca", language="en")) == [english]
    assert ids_of(find(shelf, source="forum")) == [malay]
    assert ids_of(find(shelf, words="cuaca", source="forum")) == [malay]
    assert ids_of(find(shelf, source="nowhere")) == []
    assert ids_of(find(shelf, whereabouts="queued")) == [queued]
    assert ids_of(find(shelf, whereabouts="sent")) == [sent]
    assert set(ids_of(find(shelf, words="cuaca", whereabouts="free"))) == {malay, english}


def test_texts_of_a_removed_source_are_not_found(shelf: Shelf) -> None:
    put(shelf, "cuaca lama", in_scope=False)
    assert find(shelf, words="cuaca").known == 0


def test_the_most_similar_texts_come_first_and_the_text_itself_not_at_all(shelf: Shelf) -> None:
    texts = put(shelf, "asal", "dekat", "jauh", "bertentangan", "tanpa vektor")
    place(shelf, texts[:4], [0.0, 0.1, 1.0, 3.0])
    found = find(shelf, like=str(texts[0]))
    assert ids_of(found) == texts[1:4]
    assert [hit.likeness for hit in found.hits] == pytest.approx(np.cos([0.1, 1.0, 3.0]), abs=1e-3)
    assert found.complete
    assert ids_of(find(shelf, like=str(texts[0]), words="jauh or dekat or asal")) == texts[1:3]
    shelf.say(AISYAH, [texts[3]], {"hate"})
    assert ids_of(find(shelf, like=str(texts[0]), label="hate")) == [texts[3]]
    with pytest.raises(EncoderError, match="has no vector of tiny: run `saring embed`"):
        find(shelf, like=str(texts[4]))


def test_the_index_finds_what_comparing_every_vector_finds(shelf: Shelf) -> None:
    ids = shelf.plant(400)
    before = find(shelf, like=str(ids[0]))
    with open_session(shelf.engine) as session:
        assert not index_of(session, Space.name).present
        assert index_of(session, Space.name).vectors == 400
    told: list[tuple[int, int | None]] = []
    assert make_index(shelf.engine, Space.name, progress=lambda done, total, *_: told.append((done, total)))
    assert not make_index(shelf.engine, Space.name), "it is there"
    with open_session(shelf.engine) as session:
        assert index_of(session, Space.name).present
    after = find(shelf, like=str(ids[0]))
    assert ids_of(after) == ids_of(before)
    # texts that come later are in it too
    more = shelf.plant(1, vectors=shelf.vectors[ids[0]][None])
    assert ids_of(find(shelf, like=str(ids[0])))[0] == more[0]


def test_a_building_that_is_stopped_leaves_nothing_that_is_used(shelf: Shelf) -> None:
    class Enough(Exception):
        pass

    def stop(*_: object) -> None:
        raise Enough

    shelf.plant(50)
    with pytest.raises(Enough):
        make_index(shelf.engine, Space.name, sleep=stop)
    make_index(shelf.engine, Space.name)
    with open_session(shelf.engine) as session:
        assert index_of(session, Space.name).present


def test_other_spellings_are_words_of_the_texts(shelf: Shelf) -> None:
    put(shelf, *(f"rumah kampung nombor{i}" for i in range(30)), "ruamh sekali", "ruamh lagi")
    with open_session(shelf.engine) as session, session.begin():
        assert spellings(session, ["rumha"]) == [], "the words were not counted yet"
        renew(session)
    found = find(shelf, words="rumha")
    assert [(one.word, one.instead[0]) for one in found.spellings] == [("rumha", "rumah")]
    assert find(shelf, words="kampung").spellings == []
    # a word that some texts have, and a more frequent one like it, is corrected all the same
    with open_session(shelf.engine) as session:
        assert spellings(session, ["ruamh"]) == []
    with open_session(shelf.engine) as session, session.begin():
        assert renew(session) == renew(session)


def test_searches_are_saved_for_an_account_or_for_everybody(shelf: Shelf) -> None:
    with open_session(shelf.engine) as session, session.begin():
        mine = session.execute(text("INSERT INTO account (name) VALUES ('aina') RETURNING id")).scalar_one()
        theirs = session.execute(text("INSERT INTO account (name) VALUES ('bala') RETURNING id")).scalar_one()
        first = saved.save(session, " banjir  baru ", Query(words="banjir"), account=mine)
        again = saved.save(session, "banjir baru", Query(words="banjir", language="ms"), account=mine)
        everybody = saved.save(session, "semua", Query(label="hate"))
        assert first == again
        assert [(one.name, one.query, one.shared) for one in saved.saved(session, account=mine)] == [
            ("banjir baru", Query(words="banjir", language="ms"), False),
            ("semua", Query(label="hate"), True),
        ]
        assert [one.name for one in saved.saved(session, account=theirs)] == ["semua"]
        assert not saved.forget(session, first, account=theirs)
        assert saved.forget(session, first, account=mine)
        assert not saved.forget(session, everybody, account=theirs), "it is everybody's"
        assert saved.forget(session, everybody)
        with pytest.raises(UsageError, match="needs a name of 1 to 80 characters"):
            saved.save(session, " ", Query(words="banjir"))


def test_neighbours_are_labelled_texts_only(shelf: Shelf) -> None:
    texts = put(shelf, "asal", "dekat mesin", "dekat orang", "jauh orang", "dekat disangkal")
    place(shelf, texts, [0.0, 0.05, 0.2, 1.0, 0.1])
    shelf.say(LLM, texts[:2], {"hate"})
    shelf.say(AISYAH, texts[2:4], {"hate"})
    shelf.say(AISYAH, [texts[4]], set(), {"hate"})
    with open_session(shelf.engine) as session:
        found = labelled_neighbours(session, shelf.taxonomy, Space.name, texts[0])
    assert [near.text_id for near in found] == texts[2:4]
    assert found[0].labels == {"hate": Tier.GOLD}
    assert found[0].harsh


def test_votes_are_what_each_rater_says_now(shelf: Shelf) -> None:
    [one] = put(shelf, "asal")
    shelf.say(LLM, [one], {"hate"}, scores={"hate": 0.75}, explanation="names a group")
    shelf.say(AISYAH, [one], {"hate"})
    shelf.say(AISYAH, [one], {"safe for work"})
    shelf.say(BALA, [one], {"hate"})
    shelf.say(BALA, [one], set(), withdrawn=True)
    with open_session(shelf.engine) as session:
        votes = votes_on(session, one)
    assert [(vote.name, vote.asserted, vote.scores, vote.explanation) for vote in votes] == [
        ("label-studio", ["safe for work"], {}, None),
        ("a-model", ["hate"], {"hate": 0.75}, "names a group"),
    ]


def test_saring_search_as_it_is_typed(shelf: Shelf, environment: dict[str, str]) -> None:
    def run(*words: str, status: int = 0) -> str:
        done = typed(environment | {"COLUMNS": "200"}, "search", *words)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    rain, harsh = put(shelf, "hujan [red]lebat[/red]", "hujan dan kata kasar")
    shelf.say(AISYAH, [harsh], {"hate"})
    shown = run("hujan", "lebat", "--save", "cuaca")
    assert "hujan [red]lebat[/red]" in shown, "a text is never taken for markup"
    assert "1 text found" in shown
    answer = json.loads(run("--saved", "cuaca", "--json"))
    assert [hit["text_id"] for hit in answer["hits"]] == [str(rain)]
    hidden = json.loads(run("hujan", "--label", "hate", "--json"))["hits"]
    assert [(hit["text"], hit["hidden"], hit["text_id"]) for hit in hidden] == [(None, True, str(harsh))]
    added = json.loads(run("lebat", "--add", "--json"))["added"]
    assert added == {"added": 1, "left_out": {}}
    prepared = json.loads(run("--index", "--json"))
    assert (prepared["encoder"], prepared["vectors"], prepared["index_made"]) == (Space.name, 0, False)
    assert "no search is saved as 'angin'; there are cuaca" in run("--saved", "angin", status=2)
    assert "say what to look for" in run(status=2)
    assert "no label is called 'ribut'" in run("--label", "ribut", status=2)

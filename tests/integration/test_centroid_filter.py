"""The centroid filter on a real store, with vectors that are planted where a test needs them."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import EncoderError, NotEnoughVectors, TaxonomyError, UsageError
from pipeline.filters.asserted import find_asserted
from pipeline.filters.centroid import REVIEW_REASON, STAGE, LabelFilter
from pipeline.filters.cuts import Cut
from pipeline.filters.names import scale_of
from pipeline.filters.report import write_report
from pipeline.filters.saved_cuts import save_cut
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, judgements_by_text, rater_id, record
from pipeline.ledger.resolve import FILTERED_KINDS, current_judgements, resolve
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import put_vectors, register_encoder
from tests.support.stages import centroid_filter

D = 48
LLM = RaterRef(RaterKind.LLM, "a-model", "1")


class PlantedEncoder:
    """Names a space; its vectors are planted."""

    name = "planted"
    dimension = D

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), D), np.float32)


class Field:
    """Plants texts with vectors and judgements."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy) -> None:
        self.engine = engine
        self.taxonomy = taxonomy
        self.rng = np.random.default_rng(5)
        self.centres = unit(np.asarray(self.rng.normal(size=(6, D)) + 0.6, dtype=np.float32))
        self._planted = 0
        with Session(engine) as session, session.begin():
            register_encoder(session, PlantedEncoder())

    def plant(
        self, label: str, centre: int, count: int, *, by: RaterRef | None = LLM, embedded: bool = True, body: str = ""
    ) -> list[uuid.UUID]:
        """`count` texts around a centre that `by` says are `label`."""
        bodies = [f"{body}text {self._planted + i}" for i in range(count)]
        self._planted += count
        ids = [uuid.UUID(bytes=hashlib.blake2b(body.encode(), digest_size=16).digest()) for body in bodies]
        noise = unit(np.asarray(self.rng.normal(size=(count, D)), dtype=np.float32))
        vectors = unit(np.asarray(self.centres[centre] + 0.3 * noise, dtype=np.float32))
        with Session(self.engine) as session, session.begin():
            session.execute(
                insert(store.Text),
                [{"id": i, "body": f"secret {body}", "masked": body} for i, body in zip(ids, bodies, strict=True)],
            )
            if embedded:
                put_vectors(session, "planted", ids, vectors)
        if by is not None:
            self.say(by, ids, {label})
        return ids

    def say(self, who: RaterRef, ids: Sequence[uuid.UUID], labels: set[str], *, withdrawn: bool = False) -> None:
        """Have a rater judge texts."""
        said = [NewJudgement(i, frozenset(labels), withdrawn=withdrawn) for i in ids]
        with Session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def decisions(self, label: str) -> dict[uuid.UUID, store.FilterDecision]:
        with Session(self.engine) as session:
            d = store.FilterDecision
            return {row.text_id: row for row in session.scalars(select(d).where(d.stage == STAGE, d.label == label))}

    def reviews(self) -> dict[uuid.UUID, float]:
        with Session(self.engine) as session:
            r = store.Review
            return dict(
                session.execute(select(r.text_id, r.inclusion_probability).where(r.reason == REVIEW_REASON)).all()
            )

    def kept(self, label: str, ids: Sequence[uuid.UUID]) -> float:
        """Share of the texts that were kept; all must have been decided on."""
        decided = self.decisions(label)
        return float(np.mean([decided[i].kept for i in ids]))


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def field(engine: Engine, taxonomy: Taxonomy) -> Field:
    return Field(engine, taxonomy)


def label_of(report_labels: Sequence[LabelFilter], key: str) -> LabelFilter:
    [found] = [label for label in report_labels if label.label == key]
    return found


def test_mistakes_are_dropped_and_a_rarer_wording_is_kept(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    common, rare = field.plant("hate", 0, 600), field.plant("hate", 1, 200)
    mistakes = field.plant("hate", 2, 60)

    report = centroid_filter(engine, taxonomy, encoder="planted")

    assert field.kept("hate", common) > 0.97
    assert field.kept("hate", rare) > 0.97
    assert field.kept("hate", mistakes) == 0
    done = label_of(report.labels, "hate")
    assert (done.support, done.vectors, done.prototypes, done.method) == (860, 860, 2, "mixture")
    assert done.kept + done.dropped == 860
    decided = field.decisions("hate")
    assert all(d.kept == (d.score >= d.cut) and d.run_id == report.run_id for d in decided.values())
    assert decided[mistakes[0]].reason.startswith(f"similarity below {done.cut:.3f} (mixture: means 0.")
    assert decided[common[0]].reason.startswith(f"similarity of at least {done.cut:.3f} (mixture: means 0.")


def test_a_text_among_those_of_another_label_is_dropped_by_its_neighbours(
    field: Field, engine: Engine, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    right = field.plant("hate", 0, 200) + field.plant("hate", 1, 100)
    mistakes = field.plant("hate", 2, 12)
    field.plant("porn", 2, 150)
    with Session(engine) as session, session.begin():
        save_cut(session, STAGE, "hate", 0.99, reason="of the other score", who="a", encoder="planted")

    report = centroid_filter(engine, taxonomy, encoder="planted", by="neighbours")

    assert field.kept("hate", right) > 0.97
    assert field.kept("hate", mistakes) == 0
    done = label_of(report.labels, "hate")
    assert (report.by, done.support, done.vectors, done.prototypes) == ("neighbours", 312, 312, 0)
    assert "the cut set by hand is of planted" in done.reason
    before = {i: (d.kept, d.score, d.cut, d.reason) for i, d in field.decisions("hate").items()}
    assert all(0 <= score <= 1 for _, score, _, _ in before.values())
    assert before[mistakes[0]][3].startswith(f"share of neighbours below {done.cut:.3f}")
    centroid_filter(engine, taxonomy, encoder="planted", by="neighbours", labels=["hate"])
    assert {i: (d.kept, d.score, d.cut, d.reason) for i, d in field.decisions("hate").items()} == before
    page = write_report(engine, report, taxonomy, tmp_path, encoder="planted", rng=np.random.default_rng(0)).read_text(
        encoding="utf-8"
    )
    assert "whose nearest texts have it too" in page
    with Session(engine) as session, session.begin():
        scale = scale_of("planted", "neighbours")
        save_cut(session, STAGE, "hate", 0.0, reason="keep all", who="a", encoder=scale)
    by_hand = centroid_filter(engine, taxonomy, encoder="planted", by="neighbours")
    assert label_of(by_hand.labels, "hate").dropped == 0


def test_a_text_among_those_without_any_label_is_dropped_by_its_neighbours(
    field: Field, engine: Engine, taxonomy: Taxonomy
) -> None:
    right, mistakes = field.plant("hate", 0, 200), field.plant("hate", 2, 12)
    plain = field.plant("hate", 2, 150, by=None)
    field.say(LLM, plain, set())

    centroid_filter(engine, taxonomy, encoder="planted", by="neighbours")

    assert field.kept("hate", right) > 0.97
    assert field.kept("hate", mistakes) == 0


def test_a_dropped_label_is_no_longer_believed(
    field: Field, engine: Engine, session: Session, taxonomy: Taxonomy
) -> None:
    good, mistakes = field.plant("hate", 0, 300), field.plant("hate", 2, 30)
    field.say(LLM, [mistakes[0]], {"hate", "violence"})
    centroid_filter(engine, taxonomy, encoder="planted", labels=["hate"])
    believed = {i: resolve(judgements) for i, judgements in judgements_by_text(session)}
    assert not any(believed[i]["hate"].value for i in mistakes)
    assert sum(believed[i]["hate"].value is True for i in good) > 290
    assert believed[mistakes[0]]["violence"].value is True


def test_people_and_data_sets_are_never_filtered(
    field: Field, engine: Engine, session: Session, taxonomy: Taxonomy
) -> None:
    field.plant("hate", 0, 300)
    human = field.plant("hate", 2, 20, by=RaterRef(RaterKind.HUMAN, "aisyah"))
    external = field.plant("hate", 3, 20, by=RaterRef(RaterKind.EXTERNAL, "a-corpus"))
    both = field.plant("hate", 2, 10)
    field.say(RaterRef(RaterKind.HUMAN, "aisyah"), both, {"hate"})

    centroid_filter(engine, taxonomy, encoder="planted")

    decided = field.decisions("hate")
    assert not set(human + external) & set(decided)
    assert field.kept("hate", both) == 0
    believed = {i: resolve(judgements) for i, judgements in judgements_by_text(session)}
    assert all(believed[i]["hate"].value for i in human + external + both)


def test_running_again_changes_nothing(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    field.plant("hate", 0, 300)
    field.plant("hate", 2, 40)
    field.plant("porn", 3, 100, by=RaterRef(RaterKind.BOOTSTRAP, "bootstrap"))
    everything = text(
        "SELECT md5(string_agg(d::text, ',' ORDER BY d::text)) FROM filter_decision d "
        "UNION ALL SELECT md5(string_agg(r::text, ',' ORDER BY r::text)) FROM review r"
    )
    first = centroid_filter(engine, taxonomy, encoder="planted", seed=4)
    with engine.connect() as connection:
        before = connection.execute(everything).all()
    second = centroid_filter(engine, taxonomy, encoder="planted", seed=4)
    with engine.connect() as connection:
        assert connection.execute(everything).all() == before
    assert second.labels == first.labels


def test_a_label_alone_is_decided_as_with_the_others(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    field.plant("hate", 0, 300)
    field.plant("sexist", 1, 200)
    field.plant("sexist", 3, 25)
    together = centroid_filter(engine, taxonomy, encoder="planted")
    alone = centroid_filter(engine, taxonomy, encoder="planted", labels=["sexist"])
    assert alone.labels == (label_of(together.labels, "sexist"),)


def test_the_review_sample_is_drawn_with_the_probability_it_states(
    field: Field, engine: Engine, taxonomy: Taxonomy
) -> None:
    field.plant("hate", 0, 900)
    field.plant("hate", 2, 100)
    report = centroid_filter(engine, taxonomy, encoder="planted", cut=Cut(review_share=0.3))
    done = label_of(report.labels, "hate")
    drawn = field.reviews()
    assert done.in_review == len(drawn) == int(np.ceil(0.3 * done.dropped))
    assert list(drawn.values()) == pytest.approx([len(drawn) / done.dropped] * len(drawn))
    assert not any(field.decisions("hate")[i].kept for i in drawn)


@pytest.mark.parametrize(("mistakes", "drawn", "probability"), [(15, 15, 1.0), (50, 20, 0.4)])
def test_few_dropped_texts_are_reviewed_more(
    field: Field, engine: Engine, taxonomy: Taxonomy, mistakes: int, drawn: int, probability: float
) -> None:
    field.plant("hate", 0, 1_000 - mistakes)
    field.plant("hate", 2, mistakes)
    centroid_filter(engine, taxonomy, encoder="planted", cut=Cut("quantile", quantile=mistakes / 1_000))
    reviews = field.reviews()
    assert len(reviews) == drawn
    assert list(reviews.values()) == pytest.approx([probability] * drawn)


def test_another_seed_draws_another_sample(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    field.plant("hate", 0, 900)
    field.plant("hate", 2, 100)
    centroid_filter(engine, taxonomy, encoder="planted", seed=1)
    first = set(field.reviews())
    centroid_filter(engine, taxonomy, encoder="planted", seed=2)
    assert set(field.reviews()) > first


def test_decisions_go_with_the_judgement(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    ids = field.plant("hate", 0, 200)
    centroid_filter(engine, taxonomy, encoder="planted")
    field.say(LLM, ids[:5], {"hate"}, withdrawn=True)
    field.say(LLM, ids[5:10], {"violence"})
    # a newer version of the machine speaks for it
    field.say(RaterRef(RaterKind.LLM, "a-model", "2"), ids[10:15], set())
    centroid_filter(engine, taxonomy, encoder="planted")
    assert set(field.decisions("hate")) == set(ids[15:])


def test_what_counts_as_asserted_is_what_resolve_takes_for_current(
    field: Field, session: Session, taxonomy: Taxonomy
) -> None:
    keys = ("hate", "violence", "porn")
    ids = field.plant("hate", 0, 40, by=None)
    raters = [RaterRef(kind, name, v) for kind in RaterKind for name in "ab" for v in "12"]
    ledger = [rater_id(session, rater) for rater in raters]
    rng = np.random.default_rng(9)
    said: dict[uuid.UUID, list[int]] = {}
    revisions: dict[tuple[int, uuid.UUID, str], int] = {}
    for _ in range(1_500):
        rater, text_id = int(rng.choice(ledger)), ids[rng.integers(len(ids))]
        key = (rater, text_id, str(rng.choice(["", "x"])))
        earlier = said.setdefault(text_id, [])
        revisions[key] = revisions.get(key, -1) + 1
        row = {
            "rater_id": rater,
            "text_id": text_id,
            "external_ref": key[2],
            "revision": revisions[key],
            "asserted": [k for k in keys if rng.random() < 0.4],
            "withdrawn": bool(rng.random() < 0.2),
            "supersedes": int(rng.choice(earlier)) if earlier and rng.random() < 0.3 else None,
            "taxonomy_version": taxonomy.version,
        }
        earlier.append(session.execute(insert(store.Judgement).values(row).returning(store.Judgement.id)).scalar_one())

    find_asserted(session, keys)

    found = session.execute(text("SELECT label, text_id FROM asserted_label")).all()
    expected = {
        (keys.index(label) + 1, text_id)
        for text_id, judgements in judgements_by_text(session)
        for judgement in current_judgements(judgements)
        if judgement.rater.kind in FILTERED_KINDS
        for label in judgement.asserted
    }
    assert len(expected) > 50
    assert len(found) == len(expected)
    assert {(label, text_id) for label, text_id in found} == expected


def test_too_few_vectors_are_an_error_only_when_the_label_was_asked_for(
    field: Field, engine: Engine, taxonomy: Taxonomy
) -> None:
    field.plant("hate", 0, 100)
    field.plant("sexist", 1, 20)
    field.plant("porn", 2, 20)
    field.plant("porn", 2, 20, embedded=False)
    report = centroid_filter(engine, taxonomy, encoder="planted")
    assert label_of(report.labels, "hate").skipped is None
    assert label_of(report.labels, "sexist").skipped == "20 texts have this label from a machine; the filter needs 30"
    assert label_of(report.labels, "porn").skipped == (
        "20 of its 40 texts have a vector of planted; the filter needs 30: run `saring embed`"
    )
    assert not field.decisions("porn")
    with pytest.raises(NotEnoughVectors, match=r"label 'porn': 20 of its 40 texts have a vector"):
        centroid_filter(engine, taxonomy, encoder="planted", labels=["hate", "porn"])


def test_an_empty_store_is_skipped_label_by_label(engine: Engine, taxonomy: Taxonomy) -> None:
    report = centroid_filter(engine, taxonomy, encoder="nothing")
    assert [label.label for label in report.labels] == list(taxonomy.keys)
    assert all(label.skipped for label in report.labels)


def test_an_unknown_label_is_named(engine: Engine, taxonomy: Taxonomy) -> None:
    with pytest.raises(TaxonomyError, match="no label 'haet'"):
        centroid_filter(engine, taxonomy, encoder="planted", labels=["haet"])


def test_anchors_keep_a_wording_that_machines_rarely_label(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    field.plant("hate", 0, 500)
    rare = field.plant("hate", 1, 40)
    centroid_filter(engine, taxonomy, encoder="planted")
    assert field.kept("hate", rare) < 0.1
    anchors = np.concatenate([np.repeat(field.centres[[i]], 8, axis=0) for i in (0, 1)])
    centroid_filter(engine, taxonomy, encoder="planted", anchors={"hate": anchors})
    assert field.kept("hate", rare) > 0.9


def test_anchors_of_another_encoder_are_refused(field: Field, engine: Engine, taxonomy: Taxonomy) -> None:
    field.plant("hate", 0, 50)
    with pytest.raises(EncoderError, match=r"exemplars of 'hate' have 7 dimensions and its texts 48"):
        centroid_filter(engine, taxonomy, encoder="planted", anchors={"hate": np.ones((3, 7), np.float32)})


def test_the_run_records_what_was_decided(field: Field, engine: Engine, session: Session, taxonomy: Taxonomy) -> None:
    field.plant("hate", 0, 200)
    report = centroid_filter(engine, taxonomy, encoder="planted")
    run = session.get_one(store.Run, report.run_id)
    assert (run.stage, run.slice, run.state) == (STAGE, "planted", "done")
    assert run.result is not None
    [hate] = [label for label in run.result["labels"] if label["label"] == "hate"]
    assert (hate["kept"], hate["dropped"]) == (report.kept, label_of(report.labels, "hate").dropped)


@pytest.fixture
def page(field: Field, engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Iterator[str]:
    field.plant("hate", 0, 200, body="<script>alert(1)</script> & ")
    field.plant("hate", 2, 15)
    field.plant("sexist", 1, 5)
    report = centroid_filter(engine, taxonomy, encoder="planted")
    rng = np.random.default_rng(0)
    yield write_report(engine, report, taxonomy, tmp_path / "new" / "folder", encoder="planted", rng=rng).read_text()


def test_the_page_shows_masked_texts_only_and_escapes_them(page: str) -> None:
    assert "secret" not in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; text" in page


def test_the_page_veils_ten_texts_on_each_side_of_the_cut(page: str) -> None:
    assert page.count('<span class="veil" tabindex="0">') == 20
    assert ".veil:hover, .veil:focus" in page


def test_the_page_needs_no_network_and_follows_the_theme(page: str) -> None:
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


def test_the_page_maps_kept_and_dropped_and_says_what_was_skipped(page: str) -> None:
    assert page.count('<circle class="kept" data-label="0"') + page.count('class="dropped" data-label="0"') == 215
    assert page.count('class="dropped" data-label="0"') >= 15
    assert "skipped: 5 texts have this label from a machine; the filter needs 30" in page


def test_the_histogram_holds_every_text_once(page: str) -> None:
    bins = re.findall(r"<g><title>[\d.]+ to [\d.]+: (\d+) kept, (\d+) rejected</title>", page)
    kept, dropped = (sum(int(found[i]) for found in bins) for i in (0, 1))
    assert f"<p>{kept} kept, {dropped} rejected below" in page
    assert kept + dropped == 215


def test_a_folder_that_cannot_be_made_is_named(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = centroid_filter(engine, taxonomy, encoder="planted")
    with pytest.raises(UsageError, match=r"file/reports: the report cannot be written"):
        write_report(
            engine, report, taxonomy, tmp_path / "file" / "reports", encoder="planted", rng=np.random.default_rng(0)
        )

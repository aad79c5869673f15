"""The readers of files, for the fuzzer: settings, data, models, backups."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.support.fuzzing_values import damaged_bytes, damaged_value, odd_value

Reader = Callable[[random.Random], None]
#: YAML that JSON does not have
_YAML = (
    "&a [*a]",
    "!!binary x",
    "!!python/object:os.system x",
    "2024-13-45",
    "<<: *b",
    "? [1]\n: 2",
    "\t- x",
    "\x07",
    "~",
    "1_000",
    "0o9",
    ".nan",
    "{a: 1, a: 2}",
    "'''",
    "*none",
    "%YAML 9.9",
    "!x {}",
)
_RATERS: dict[str, Any] = {
    "raters": {
        "satu": {
            "url": "http://localhost:1/v1",
            "model": "m",
            "api_key_env": "SATU_KEY",
            "extra_body": {"top_k": 1, "chat_template_kwargs": {"enable_thinking": False}},
            "prompt": {"language": "ms", "text": "both", "labels": ["hate"], "exemplars": 2},
            "sampling": {"temperature": 0, "max_tokens": None, "seed": 7},
            "price": {"input": 0.1, "output": 0.4},
            "limits": {"concurrency": 4, "budget_tokens": 10},
        }
    }
}
_MAPPING: dict[str, Any] = {
    "values": {"kasar": {"assert": ["hate"], "deny": ["safe for work"]}, "biasa": {"deny": ["hate"]}},
    "fields": {"HS_Race": {"1": {"assert": ["racist"]}, "0": {"deny": ["racist"]}}},
}


def _yaml(rng: random.Random, value: Any) -> bytes:
    """A file of YAML: JSON with damage, in which a value may be YAML's own."""
    value = damaged_value(rng, copy.deepcopy(value)) if rng.random() < 0.8 else value
    try:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    except (ValueError, RecursionError):
        text = "raters: " + "[" * 3_000
    if rng.random() < 0.3:
        place = text.find(rng.choice([": ", ", ", "{"])) + 1
        text = text[:place] + " " + rng.choice(_YAML) + " " + text[place:]
    content = text.encode("utf-8", "surrogatepass")
    return damaged_bytes(rng, content) if rng.random() < 0.3 else content


def raters_reader(folder: Path) -> Reader:
    """`raters.yaml`."""
    import httpx2

    from pipeline.llm.cache import Asked
    from pipeline.llm.config import llm_configs
    from pipeline.llm.dialect import Dialect
    from pipeline.settings import Settings

    settings = Settings(home=folder)

    def read(rng: random.Random) -> None:
        settings.raters_file.write_bytes(_yaml(rng, _RATERS))
        for config in llm_configs(settings, {"SATU_KEY": "k"}).values():
            named = config.model_copy(update={"model": config.model or "m"})
            json.dumps(Dialect(named, {}).body("schema"))
            # A file that was read describes a server that can at least be asked.
            httpx2.URL(named.url)
            Asked.of(named, "p").key("c")

    return read


def taxonomy_reader() -> Reader:
    """The file of the taxonomy: the bytes of the real one, and the values of a small one."""
    from pipeline.taxonomy import parse_taxonomy

    real = files("pipeline").joinpath("taxonomy.yaml").read_bytes()[:6_000]
    label = {
        "key": "hate",
        "name": {"en": "Hate", "ms": "Kebencian"},
        "definition": {"en": "Contempt", "ms": "Penghinaan"},
        "benign": False,
        "sentiment": ["negative"],
        "excludes": [],
        "colour": "#000001",
        "hotkey": "1",
        "aliases": ["hateful"],
        "exemplars": {"en": ["one", "two"]},
        "near_misses": {"en": [{"text": "three", "why": "calm"}]},
    }

    def read(rng: random.Random) -> None:
        small = rng.random() < 0.9
        content = _yaml(rng, {"labels": [label]}) if small else damaged_bytes(rng, real)
        taxonomy = parse_taxonomy(content)
        assert all(taxonomy.canonical(key) == key or key for key in taxonomy.keys)

    return read


def mapping_reader(folder: Path) -> Reader:
    """A mapping file, and the rows that it is for."""
    import orjson

    from pipeline.raters.mapping import load_mapping
    from pipeline.taxonomy import load_taxonomy

    taxonomy, path = load_taxonomy(), folder / "mapping.yaml"
    row = {"labels": ["kasar", "biasa"], "HS_Race": "1", "not_labels": ["hate"]}

    def read(rng: random.Random) -> None:
        path.write_bytes(_yaml(rng, _MAPPING))
        mapping = load_mapping(path if rng.random() < 0.8 else None, taxonomy, "labels")
        mapping.fingerprint()
        try:
            damaged = orjson.loads(json.dumps(damaged_value(rng, copy.deepcopy(row))))
        except (ValueError, RecursionError):
            # Such a row does not come out of a file.
            return
        mapping.verdict(damaged if isinstance(damaged, dict) else row)

    return read


def parquet_reader(folder: Path) -> Reader:
    """Parquet files of any schema, through the readers of scraped and of labelled rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "rows.parquet"
    plain: list[Callable[[], Any]] = [
        pa.string, pa.large_string, pa.binary, pa.int8, pa.int64, pa.uint64, pa.float16, pa.float32, pa.float64,
        pa.bool_, pa.date32, pa.date64, pa.null,
        lambda: pa.timestamp("ns", tz="Asia/Kuala_Lumpur"), lambda: pa.timestamp("s"), lambda: pa.timestamp("us"),
        lambda: pa.time64("ns"), lambda: pa.duration("ns"), lambda: pa.decimal128(38, 5), lambda: pa.binary(3),
    ]  # fmt: skip

    def kind(rng: random.Random, depth: int = 0) -> Any:
        draw = rng.random()
        if depth < 2 and draw < 0.15:
            return pa.list_(kind(rng, depth + 1))
        if depth < 2 and draw < 0.25:
            return pa.struct([("a", kind(rng, depth + 1)), ("b", pa.string())])
        if depth < 2 and draw < 0.3:
            return pa.map_(pa.string(), kind(rng, depth + 1))
        if draw < 0.35:
            return pa.dictionary(pa.int8(), pa.string())
        return rng.choice(plain)()

    def column(rng: random.Random, of: Any, rows: int) -> Any:
        if rng.random() < 0.5:
            try:
                values = [
                    rng.choice([None, 0, 1, -1, 2**40, "satu", b"\xff\xfe", True, ["a"], {"a": 1}]) for _ in range(rows)
                ]
                return pa.array(values, type=of)
            except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
                pass
        try:
            numbers = [rng.choice([None, 0, 2**40, -(2**62), 2**62, 253402300800000, 99999999999]) for _ in range(rows)]
            return pa.array(numbers, type=pa.int64()).view(of) if of.bit_width == 64 else pa.nulls(rows, of)
        except (pa.ArrowException, ValueError, AttributeError):
            return pa.nulls(rows, of)

    def read(rng: random.Random) -> None:
        rows = rng.choice([0, 1, 3])
        names = ["text", *rng.sample(["id", "labels", "not_labels", "lang", "split", "source", "sentiment", "x"], 3)]
        if rng.random() < 0.1:
            names[1] = rng.choice(["text", "", "a.b"])
        arrays = [pa.array(["apa khabar semua"] * rows), *(column(rng, kind(rng), rows) for _ in names[1:])]
        if rng.random() < 0.3:
            arrays[0] = column(rng, kind(rng), rows)
        try:
            pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
        except (pa.ArrowException, OSError):
            return
        if rng.random() < 0.3:
            path.write_bytes(damaged_bytes(rng, path.read_bytes()))
        _read_rows(path, rng)

    return read


def labelled_rows_reader(folder: Path) -> Reader:
    """Lines of JSON and CSV, through the same readers."""
    row = {"id": "1", "text": "apa khabar semua", "labels": ["hate"], "not_labels": [], "lang": "ms", "x": {"y": 1}}

    def read(rng: random.Random) -> None:
        lines = []
        for _ in range(rng.choice([1, 3])):
            try:
                value = damaged_value(rng, copy.deepcopy(row)) if rng.random() < 0.8 else odd_value(rng)
                lines.append(json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
            except (ValueError, RecursionError):
                lines.append(b'{"text": ' + b"[" * 2_000)
        content = b"\n".join(lines)
        if rng.random() < 0.2:
            content = b'id,text,labels\n1,apa khabar,hate\n2,"baik, terima kasih",\n'
        if rng.random() < 0.4:
            content = damaged_bytes(rng, content)
        path = folder / ("rows.csv" if content.startswith(b"id,") else "rows.jsonl")
        path.write_bytes(content)
        _read_rows(path, rng)

    return read


@cache
def _taxonomy() -> Any:
    from pipeline.taxonomy import load_taxonomy

    return load_taxonomy()


def _read_rows(path: Path, rng: random.Random) -> None:
    import orjson

    from pipeline.raters.mapping import load_mapping
    from pipeline.texts.labelled_files import read_labelled
    from pipeline.texts.prepare import Options, prepare
    from pipeline.texts.readers import RawRow, format_of, read_rows
    from pipeline.texts.rejects import RejectSink

    if rng.random() < 0.4 and path.suffix != ".csv":
        sink = RejectSink()
        for labelled in read_labelled([str(path)], sink, keep_extra=True):
            orjson.dumps(sorted(labelled.labels), default=str)
        return
    mapping = load_mapping(None, _taxonomy(), "labels")
    rows = [row for row in read_rows(str(path), format_of(str(path))) if isinstance(row, RawRow)]
    prepare(
        [row.line for row in rows],
        [row.payload for row in rows],
        path=str(path),
        name=path.name,
        options=Options(form=format_of(str(path)), keep=("x", "labels", *mapping.read)),
    )
    for row in rows:
        if isinstance(row.payload, dict):
            mapping.verdict(row.payload)


def model_reader(folder: Path) -> Reader:
    """Folders of linear models whose manifest, schema or arrays were changed, the hash with them."""
    import numpy as np

    from pipeline.models.artefact import LabelSettings, Manifest, TrainedModel, load_model, save_model
    from pipeline.models.features import NgramConfig
    from pipeline.models.linear import ARRAYS, LinearConfig, fit_linear

    texts = ["durian sedap", "teh tarik", "pasar durian", "kopi panas"]
    truth = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.int8)
    config = LinearConfig(ngrams=NgramConfig(char_bits=5, word_bits=4), workers=1)
    classifier = fit_linear(texts, truth, ("buah", "minuman"), config)
    labels = tuple(LabelSettings(key=key, slope=1.0, offset=0.0, threshold=0.5) for key in ("buah", "minuman"))
    manifest = Manifest(
        version="sfw-linear-20260101", purpose="sfw", backend="linear", created_at=datetime(2026, 1, 1, tzinfo=UTC),
        code_version="0", taxonomy_version="t", exclusive=False, objective="f1", labels=labels, config={}, data={},
        metrics={},
    )  # fmt: skip
    _, home = save_model(TrainedModel(classifier, manifest), folder / "models")
    sound_arrays, sound_manifest = (home / ARRAYS).read_bytes(), json.loads((home / "model.json").read_bytes())

    def arrays(rng: random.Random) -> bytes:
        draw = rng.random()
        if draw < 0.3:
            return damaged_bytes(rng, sound_arrays)
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(sound_arrays)) as before, zipfile.ZipFile(packed, "w") as after:
            for name in before.namelist():
                content = before.read(name)
                if name == "schema.json" and draw < 0.75:
                    try:
                        content = json.dumps(damaged_value(rng, json.loads(content))).encode("utf-8", "surrogatepass")
                    except (ValueError, RecursionError):
                        content = b"[" * 100_000
                elif name != "schema.json" and draw >= 0.75:
                    content = damaged_bytes(rng, content)
                after.writestr(name, content)
        return packed.getvalue()

    def read(rng: random.Random) -> None:
        content = arrays(rng) if rng.random() < 0.7 else sound_arrays
        (home / ARRAYS).write_bytes(content)
        described = copy.deepcopy(sound_manifest) | {"artefact_hash": hashlib.sha256(content).hexdigest()}
        if rng.random() < 0.4:
            described = damaged_value(rng, described)
        try:
            written = json.dumps(described).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            written = b"[" * 100_000
        (home / "model.json").write_bytes(damaged_bytes(rng, written) if rng.random() < 0.1 else written)
        model = load_model(home)
        given = model.given(model.probabilities(["durian", "kopi panas"]))
        assert all(isinstance(key, str) for keys in given for key in keys)

    return read


def archive_reader(folder: Path) -> Reader:
    """Backups of which bytes, pieces, or the manifest were changed, the seal with it."""
    from saring.backup.archive import writing
    from saring.backup.manifest import MANIFEST, SEAL, File, Manifest, Table, piece_name
    from saring.backup.verifying import verify

    rows, taxonomy = b"1\tsatu\n2\tdua\n", b"labels: []\n"
    manifest = Manifest(
        saring="1", created_at=datetime(2026, 1, 1, tzinfo=UTC), schema_revision="0008", taxonomy_version="t",
        label_studio=False, settings={}, missing={},
        tables=(
            Table(name="text", columns=("a",), rows=2, sha256=hashlib.sha256(rows).hexdigest(), pieces=1, counters={}),
        ),
        files=(File(name="taxonomy.yaml", bytes=len(taxonomy), sha256=hashlib.sha256(taxonomy).hexdigest()),),
    )  # fmt: skip
    sound = json.loads(manifest.model_dump_json())
    path = folder / "backup.tar.zst"

    def read(rng: random.Random) -> None:
        described = copy.deepcopy(sound)
        if rng.random() < 0.5:
            described = damaged_value(rng, described)
        try:
            written = json.dumps(described).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            written = b"[" * 100_000
        names = [piece_name("text", 0), "taxonomy.yaml", MANIFEST, SEAL]
        if rng.random() < 0.2:
            names[rng.randrange(4)] = rng.choice(["database/", "database", "../x", "/x", "a\nb", "x" * 300, "é", "."])
        path.unlink(missing_ok=True)
        with writing(path) as archive:
            contents = (rows, taxonomy, written, hashlib.sha256(written).hexdigest().encode())
            for name, content in zip(names, contents, strict=True):
                archive.add(name, content)
        if rng.random() < 0.4:
            path.write_bytes(damaged_bytes(rng, path.read_bytes()))
        verify(str(path))

    return read

"""A home remembers the taxonomy that it is used with."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import Settings
from pipeline.taxonomy import example_taxonomy
from saring.services import stop_services
from tests.support.commands import answered, typed


def _labels(environment: dict[str, str]) -> set[str]:
    return {label["key"] for label in answered(typed(environment, "taxonomy", "show", "--json"))["labels"]}


def test_without_the_setting_the_labels_are_those_of_before(
    environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    assert "hate" in _labels(environment)
    buses = tmp_path / "buses.yaml"
    buses.write_bytes(example_taxonomy())
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "text": "bas lambat lagi hari ni", "labels": ["late"]}\n', encoding="utf-8")
    named = environment | {"SARING_TAXONOMY": str(buses)}
    words = ("import", str(rows), "--source", "s", "--labels-field", "labels", "--json")
    answered(typed(named, *words))
    assert (new_home / "taxonomy.yaml").read_bytes() == example_taxonomy()
    # a new shell, in which nobody set it
    assert _labels(environment) == _labels(named)
    assert "hate" not in _labels(environment)
    answered(typed(environment, *words))

    buses.write_bytes(example_taxonomy().replace(b"Late, ms", b"Too late, ms"))
    answered(typed(named, *words))
    assert (new_home / "taxonomy.yaml").read_bytes() == buses.read_bytes()
    (new_home / "taxonomy.yaml").unlink()
    assert "hate" in _labels(environment)


def test_the_first_command_of_a_home_that_is_not_there_yet_is_remembered(new_home: Path, tmp_path: Path) -> None:
    buses = tmp_path / "buses.yaml"
    buses.write_bytes(example_taxonomy())
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "text": "bas lambat lagi hari ni", "labels": ["late"]}\n', encoding="utf-8")
    # the database of its own, which makes the home when it starts
    project = {"SARING_HOME": str(new_home / "project")}
    try:
        answered(
            typed(
                project | {"SARING_TAXONOMY": str(buses)},
                *("import", str(rows), "--source", "s", "--labels-field", "labels", "--json"),
            )
        )
        assert (new_home / "project/taxonomy.yaml").read_bytes() == example_taxonomy()
        assert "late" in _labels(project)
    finally:
        stop_services(Settings(home=new_home / "project"))

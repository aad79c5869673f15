"""The claims that benchmarks measure: `benchmarks/claims.yaml`, and how figures are read out of JSON lines."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UsageError
from pipeline.yaml_text import read_yaml_bytes

CLAIMS = Path(__file__).resolve().parents[1] / "benchmarks" / "claims.yaml"

Form = Literal["short", "long"]
#: a number, or a number with its interval: value, low, high
Value = float | tuple[float, float, float]
Line = Mapping[str, Any]

_TOGETHER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "median": statistics.median,
    "max": max,
    "min": min,
}


#: numbers of a figure that has an interval
_WITH_INTERVAL = 3


class NotFoundError(LookupError):
    """No line of the output has the figure."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pick(_Strict):
    """Where a figure is in the lines that a script prints."""

    #: name of the field, or the names on the way to it through nested objects
    field: str | tuple[str, ...]
    #: what the other fields of the line are; a `*` at the end stands for any ending, null for a field that is not there
    where: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    #: what is made of several lines; `only`: there must be one
    of: Literal["only", "first", "last", "sum", "median", "max", "min"] = "only"


class Peer(Pick):
    """The same for what is beside ours."""

    name: str


class Claim(_Strict):
    """One figure of ours, and perhaps one of a peer in the same run."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    #: what is measured, with the sizes of the form that it is for; `{...}` is filled with the sizes of the form
    says: str
    unit: str = ""
    better: Literal["higher", "lower"]
    ours: Pick
    peer: Peer | None = None
    #: the form that has this figure; null: both
    only: Form | None = None
    #: what ours should reach, by form
    target: dict[Form, float] = Field(default_factory=dict)
    #: how a number is written (a format of Python); empty: three digits that count
    form: str = ""


class Row(_Strict):
    """A row of a table: its name, and the line that it is read from."""

    says: str
    where: dict[str, str | int | float | bool | None]


class Table(_Strict):
    """Figures that a page shows as a table."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    corner: str = ""
    rows: tuple[Row, ...]
    #: heading to field
    columns: dict[str, str]
    #: heading to how its numbers are written
    forms: dict[str, str] = Field(default_factory=dict)


class Bench(_Strict):
    """One run of a script, by one command."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    script: str
    #: arguments of the short form; null: there is none, as with what takes minutes in any case
    short: tuple[str, ...] | None
    #: arguments of the long form; null: there is none
    long: tuple[str, ...] | None = None
    #: words that a claim's `{...}` stands for, in each form
    sizes: dict[Form, dict[str, str]] = Field(default_factory=dict)
    #: seconds that the short form takes on two quiet cores, roughly
    about_s: int = Field(gt=0)
    #: seconds after which the short form is ended; the long one has twenty times as many
    limit_s: int = Field(gt=0)
    #: option of the script, to the place in `out/peers` that `make bench-peers` fills
    peers: dict[str, str] = Field(default_factory=dict)
    claims: tuple[Claim, ...]
    tables: tuple[Table, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Bench:
        for named in (self.claims, self.tables):
            names = [one.name for one in named]
            if len(set(names)) < len(names):
                raise ValueError(f"{self.name}: two claims or two tables have the same name")
        return self

    def has(self, form: Form) -> bool:
        """Whether there is such a form."""
        return (self.short if form == "short" else self.long) is not None

    def arguments(self, form: Form) -> tuple[str, ...]:
        """The arguments of a form.

        Raises:
            UsageError: there is no such form.
        """
        arguments = self.short if form == "short" else self.long
        if arguments is None:
            other = "long" if form == "short" else "short"
            raise UsageError(f"{self.name} has no {form} form: run `make bench FORM={other} ONLY={self.name}`")
        return arguments

    def claims_of(self, form: Form) -> tuple[Claim, ...]:
        """The claims that a form measures."""
        return tuple(claim for claim in self.claims if claim.only in (None, form))

    def sentence(self, claim: Claim, form: Form) -> str:
        """What a claim says of one form."""
        return claim.says.format_map(self.sizes.get(form, {}))


def read_claims(path: Path = CLAIMS) -> tuple[Bench, ...]:
    """Every benchmark in the order of the file.

    Raises:
        UsageError: the file is not what it should be.
    """
    document = read_yaml_bytes(path.read_bytes(), path)
    try:
        benches = tuple(Bench.model_validate(one) for one in document)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    names = [bench.name for bench in benches]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path.name}: {', '.join(twice)} is there twice")
    return benches


def chosen(benches: Sequence[Bench], only: str) -> tuple[Bench, ...]:
    """The benchmarks that are named in a list with commas; all for an empty one.

    Raises:
        UsageError: one of them is not there.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {bench.name for bench in benches}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no benchmark {unknown[0]!r}: use {', '.join(sorted(known))}")
    return tuple(bench for bench in benches if not names or bench.name in names)


def read_lines(output: str) -> list[Line]:
    """The JSON objects among the lines of an output; other lines are passed over."""
    lines: list[Line] = []
    for text in output.splitlines():
        if not text.startswith("{"):
            continue
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            lines.append(found)
    return lines


def pick(lines: Iterable[Line], wanted: Pick) -> Value:
    """A figure out of the lines.

    Raises:
        NotFoundError: no line has it, or several have it where there should be one.
    """
    path = (wanted.field,) if isinstance(wanted.field, str) else wanted.field
    values = [
        value for line in lines if _is_where(line, wanted.where) and (value := _value(_inside(line, path))) is not None
    ]
    where = "; ".join([" / ".join(path), *(f"{name} = {what}" for name, what in wanted.where.items())])
    if not values:
        raise NotFoundError(f"no line has {where}")
    if wanted.of == "only" and len(values) > 1:
        raise NotFoundError(f"{len(values)} lines have {where}")
    if wanted.of in ("only", "first"):
        return values[0]
    if wanted.of == "last":
        return values[-1]
    return float(_TOGETHER[wanted.of]([central(value) for value in values]))


def why_none(lines: Iterable[Line]) -> str | None:
    """What a script said of a peer that it left out, or that failed; None: nothing."""
    for line in lines:
        for field in ("skipped", "failed", "note"):
            if isinstance(said := line.get(field), str):
                return said
    return None


def read_rows(lines: Sequence[Line], table: Table) -> list[list[Value | None]]:
    """The cells of a table, row by row; None where the output has none."""
    return [
        [_pick_or_none(lines, Pick(field=field, where=row.where, of="last")) for field in table.columns.values()]
        for row in table.rows
    ]


def _pick_or_none(lines: Sequence[Line], wanted: Pick) -> Value | None:
    try:
        return pick(lines, wanted)
    except NotFoundError:
        return None


def central(value: Value) -> float:
    """The number itself, without its interval."""
    return value[0] if isinstance(value, tuple) else value


def ratio(ours: Value, peer: Value, better: Literal["higher", "lower"]) -> float | None:
    """How many times as good ours is; below 1, the peer is ahead. None: one of them is not above 0."""
    mine, other = central(ours), central(peer)
    if mine <= 0 or other <= 0:
        return None
    return mine / other if better == "higher" else other / mine


def _is_where(line: Line, where: Mapping[str, object]) -> bool:
    return all(_is(line.get(name), wanted) for name, wanted in where.items())


def _is(found: object, wanted: object) -> bool:
    if isinstance(wanted, str) and wanted.endswith("*"):
        return isinstance(found, str) and found.startswith(wanted[:-1])
    return found == wanted


def _inside(line: Line, path: Sequence[str]) -> object:
    found: object = line
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _value(found: object) -> Value | None:
    if isinstance(found, bool) or found is None:
        return None
    if isinstance(found, int | float):
        return None if math.isnan(found) else float(found)
    if isinstance(found, Mapping):
        found = [found.get(name) for name in ("value", "low", "high")]
    if isinstance(found, list) and len(found) == _WITH_INTERVAL and all(isinstance(n, int | float) for n in found):
        value, low, high = map(float, found)
        # some figures have no interval
        return None if math.isnan(value) else value if math.isnan(low) else (value, low, high)
    if isinstance(found, list):
        return float(len(found))
    return None

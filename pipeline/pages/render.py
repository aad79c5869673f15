"""Pages and cards: filling in a template, and writing the result into a folder of somebody's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pipeline.atomic import make_folder, write_file
from pipeline.errors import UsageError


def render(
    package: str, name: str, values: Mapping[str, Any], *, filters: Mapping[str, Callable[..., str]] | None = None
) -> str:
    """Fill in a template of a package's folder `templates`. A missing value is an error.

    Args:
        package: where the folder is.
        name: of the template. Values in `.html.j2` are escaped; values in a card, `.md.j2`, are not, so none of them
            may come from a text.
        values: by the names that the template uses.
        filters: functions of the template.
    """
    environment = Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=select_autoescape(disabled_extensions=("md.j2",), default=True),
    )
    environment.filters["n"] = lambda number: f"{number:,}"
    environment.filters.update(filters or {})
    return environment.get_template(name).render(**values)


def put_page(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a page, or its data, whole and in place of an older one; return its path.

    Raises:
        UsageError: the folder can't be made or written to.
    """
    path = folder / name
    try:
        make_folder(folder)
        write_file(path, content)
    except OSError as error:
        raise UsageError(f"{folder}: the report cannot be written ({error.strerror}): name another folder") from error
    return path

"""The curves of a replay as a picture: PNG or SVG, by the file's name."""

from __future__ import annotations

from pathlib import Path

from pipeline.atomic import new_file
from pipeline.queue.replay import ENOUGH, Replayed


def plot(replayed: Replayed, path: Path) -> None:
    """Plot average precision and macro-F1 against labels bought, with intervals; dotted: 95% of the full figure."""
    # matplotlib takes a second to load, and who prints numbers only does not need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (what, full) in enumerate(
        (
            ("average precision", replayed.full_average_precision),
            ("macro-F1", replayed.full_macro_f1),
        ),
        start=1,
    ):
        axes = figure.add_subplot(1, 2, place)
        for name, curve in replayed.curves.items():
            values = curve.average_precision if what == "average precision" else curve.macro_f1
            [line] = axes.plot(curve.bought, [each.mean for each in values], linewidth=1.4, label=name)
            # an interval of few seeds may reach beyond what the figure can be
            low, high = [max(0.0, each.low) for each in values], [min(1.0, each.high) for each in values]
            axes.fill_between(curve.bought, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        axes.axhline(ENOUGH * full, linewidth=0.8, linestyle=":", color="grey")
        axes.set_xlabel("labels bought")
        axes.set_ylabel(what)
    axes.legend(fontsize=8)
    with new_file(path) as fresh:
        figure.savefig(fresh, format=path.suffix.removeprefix(".").lower(), dpi=120)

"""Figures drawn by matplotlib, as SVG and PNG: the same bytes from the same numbers and version.

Colours are those of Okabe and Ito (2008), told apart with any kind of colour blindness; methods
differ by marker and dashes besides.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboards.figures import CurvePanel, Figure, RankPanel
from leaderboards.rounding import decimals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SUFFIXES = (".svg", ".png")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
GREY = "#666666"
PANEL = (3.3, 2.6)
"""Width and height of a panel of curves in inches."""

BAND_ROOM = 0.25
"""How far beyond all means a band is drawn, as a share of their range; a wider one is cut off."""

RANK_WIDTH = 4.1
"""Width of a panel of ranks, whose names stand beside its axis."""

SAID = re.compile(rb"([0-9a-f]{16}) matplotlib ([\w.+]+)")
"""What the files say of themselves: the hash of the data, and what drew it."""

NUMBER = re.compile(rb"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
NAME = re.compile(rb'(\bid="|#)([\w.-]+)')
"""Where an element of an SVG is named, and where it is used."""

STYLE = {
    "svg.hashsalt": "leaderboards",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollar signs
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
}


def draw(figure: Figure) -> dict[str, bytes]:
    """Return the suffix and bytes of each file: `.svg`, `.png`. Both carry the data's hash."""
    with _style() as version:
        canvas = _canvas(figure)
        said = f"{figure.data_hash} matplotlib {version}"
        vector, raster = io.BytesIO(), io.BytesIO()
        described = {"Date": None, "Title": figure.title, "Description": said}
        canvas.savefig(vector, format="svg", metadata=described)
        canvas.savefig(raster, format="png", dpi=144, metadata={"Description": said})
    return {".svg": vector.getvalue(), ".png": raster.getvalue()}


def drawn_from(file: bytes) -> str:
    """The hash of the data that a figure's file says it was drawn from; "" if it says nothing."""
    said = SAID.search(file)
    return said[1].decode() if said else ""


def difference(figure: Figure, files: Mapping[str, bytes]) -> str:
    """Say in what published files, by suffix, are not those of a figure; "" if they are.

    The data's hash decides, which any version of matplotlib can check. Where the files say that
    this very version drew them, the SVG is compared too, up to the names of its elements and a
    hundredth of a point, and the PNG by its pixels: another processor adds in another order, and
    shapes of letters may differ a little between machines.
    """
    for suffix in SUFFIXES:
        if suffix not in files:
            return f"{figure.name}{suffix} (missing)"
        if drawn_from(files[suffix]) != figure.data_hash:
            return f"{figure.name}{suffix} was not drawn from these rows"
    with _style() as version:
        same = all(SAID.search(body)[2].decode() == version for body in files.values())
    if not same:
        return ""
    drawn = draw(figure)
    if not _same_strokes(drawn[".svg"], files[".svg"]):
        return f"{figure.name}.svg was changed after it was drawn"
    if not _look_alike(drawn[".png"], files[".png"]):
        return f"{figure.name}.png was changed after it was drawn"
    return ""


def _same_strokes(a: bytes, b: bytes) -> bool:
    """Tell whether two SVGs differ in nothing but the names of elements and 0.01 in a number.

    matplotlib names a clip path after a hash of its bounds, to their last bit.
    """
    one, other = (NUMBER.split(_numbered_names(body)) for body in (a, b))
    return len(one) == len(other) and all(
        # Every second piece is a number: what lies between must be the same to the letter.
        x == y or (place % 2 and abs(float(x) - float(y)) <= 0.01)
        for place, (x, y) in enumerate(zip(one, other, strict=True))
    )


def _numbered_names(svg: bytes) -> bytes:
    """Return an SVG whose elements are named by their order, also where they are referred to."""
    names: dict[bytes, bytes] = {}
    for found in re.finditer(rb'\bid="([^"]+)"', svg):
        names.setdefault(found[1], b"element-%d" % len(names))
    return NAME.sub(lambda found: found[1] + names.get(found[2], found[2]), svg)


def _look_alike(a: bytes, b: bytes) -> bool:
    """Tell whether two PNGs differ in less than one pixel of two hundred."""
    from matplotlib.image import imread

    try:
        one, other = (imread(io.BytesIO(body), format="png") for body in (a, b))
    except (OSError, SyntaxError, ValueError):  # as Pillow says of a damaged file
        return False
    if one.shape != other.shape:
        return False
    return float((np.abs(one - other).max(axis=-1) > 0.1).mean()) < 0.005


@contextmanager
def _style() -> Iterator[str]:
    import matplotlib

    plain = {name: v for name, v in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context({**plain, **STYLE}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is a box
        yield matplotlib.__version__


def _canvas(figure: Figure) -> Canvas:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    looks = {label: look(place) for place, label in enumerate(figure.labels)}
    curves = isinstance(figure.panels[0], CurvePanel)
    bars = 0 if curves else max(len(panel.groups) for panel in figure.panels)
    rows = -(-len(figure.panels) // figure.columns)
    width = max((PANEL[0] if curves else _rank_width(figure)) * figure.columns, 5.5)
    height = _panel_height(figure) * rows + (0.75 if curves else 0.45)
    canvas = Canvas(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    grid = canvas.subplots(rows, figure.columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(figure.panels):
            axes.set_axis_off()
        elif curves:
            _curves(axes, figure.panels[place], looks)
        else:
            _ranks(axes, figure.panels[place], looks, bars)
    canvas.get_layout_engine().set(wspace=0.04, hspace=0.03)
    canvas.suptitle(figure.title, fontsize=10)
    if curves:
        for axes in grid[:, 0]:
            axes.set_ylabel("score (points)")
        for axes in grid[-1]:
            axes.set_xlabel("examples per class")
        _legend(canvas, figure, looks)
    return canvas


def _rank_width(figure: Figure) -> float:
    """Width of a panel in which names on both sides leave the axis room to tell ranks apart."""
    longest = max(len(name) for panel in figure.panels for name, _ in panel.ranks)
    return max(RANK_WIDTH, 2.6 + 2 * 0.06 * (longest + len(" (1.00)")))


def _panel_height(figure: Figure) -> float:
    if isinstance(figure.panels[0], CurvePanel):
        return PANEL[1]
    most = max(len(panel.ranks) for panel in figure.panels)
    return 0.9 + 0.2 * ((most + 1) // 2 + 1)


def look(place: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the method at a place; no two of the first 21 agree."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[(place + 2 * (place // len(COLOURS))) % len(DASHES)],
    }


def _curves(axes: Axes, panel: CurvePanel, looks: Mapping[str, Mapping[str, Any]]) -> None:
    budgets = sorted({point[0] for curve in panel.curves for point in curve.points})
    for curve in panel.curves:
        look = looks[curve.label]
        x, mean, low, high = zip(*curve.points, strict=True)
        axes.fill_between(x, low, high, color=look["color"], alpha=0.14, linewidth=0)
        axes.plot(x, mean, **look, markersize=4, linewidth=1.4)
    if panel.full is not None:
        axes.axhline(panel.full, color=GREY, linestyle=(0, (1, 2)), linewidth=1.2)
    axes.set_ylim(*_heights(panel))
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    axes.set_xticks([], minor=True)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_title(panel.title)


def _heights(panel: CurvePanel) -> tuple[float, float]:
    """Bottom and top of a panel: the interval of two sets may cover all that there is to see."""
    points = np.array([point[1:] for curve in panel.curves for point in curve.points])
    levels = [*points[:, 0], *([] if panel.full is None else [panel.full])]
    bottom, top = min(levels), max(levels)
    room = BAND_ROOM * max(top - bottom, 1.0)
    bottom, top = max(points[:, 1].min(), bottom - room), min(points[:, 2].max(), top + room)
    bottom, top = min(bottom, *levels), max(top, *levels)
    margin = 0.05 * max(top - bottom, 1.0)
    return bottom - margin, top + margin


def _legend(canvas: Canvas, figure: Figure, looks: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], **looks[label], markersize=4, linewidth=1.4, label=f"\u200b{label}")
        for label in figure.labels
    ]
    if any(panel.full is not None for panel in figure.panels):
        dots = {"color": GREY, "linestyle": (0, (1, 2)), "linewidth": 1.2}
        handles.append(Line2D([], [], **dots, label="full data"))
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, int(canvas.get_figwidth() / (0.7 + 0.07 * longest)))
    canvas.legend(
        handles=handles, loc="outside lower center", ncols=columns,
        frameon=False, fontsize=8.5,
    )  # fmt: skip


def _ranks(axes: Axes, panel: RankPanel, looks: Mapping[str, Mapping[str, Any]], bars: int) -> None:
    """Draw ranks on an axis, names below it (the better half left), and bars over what is tied.

    Room is left for `bars` of them, so that the panels of a figure line up.
    """
    count = len(panel.ranks)
    left = (count + 1) // 2
    ranks = dict(panel.ranks)
    depth = 1.1 + 0.42 * bars
    for place, (name, rank) in enumerate(panel.ranks):
        on_left = place < left
        row = place if on_left else count - 1 - place
        y, edge = -(depth + 0.9 * row), 0.75 if on_left else count + 0.25
        look = looks[name]
        axes.plot([rank, rank, edge], [0, y, y], color=look["color"], linewidth=1)
        axes.plot([rank], [0], color=look["color"], marker=look["marker"], markersize=5)
        axes.annotate(
            f"{name} ({decimals(rank, 2)})", (edge, y), xytext=(-3 if on_left else 3, 0),
            textcoords="offset points", ha="right" if on_left else "left", va="center", fontsize=8,
        )  # fmt: skip
    for place, group in enumerate(panel.groups):
        y = -0.5 - 0.42 * place
        span = [min(ranks[name] for name in group), max(ranks[name] for name in group)]
        # Not a hair longer than the ranks: a bar that reaches the next one would join it.
        axes.plot(span, [y, y], color=GREY, linewidth=3, solid_capstyle="butt")
    axes.plot([1, 1 + panel.critical_difference], [1.55, 1.55], color="black", marker="|")
    axes.text(
        1 + panel.critical_difference / 2, 1.75, f"CD {decimals(panel.critical_difference, 2)}",
        ha="center", va="bottom", fontsize=8,
    )  # fmt: skip
    axes.plot([1, count], [0, 0], color="black", linewidth=1, zorder=0)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, 0.2], color="black", linewidth=1, zorder=0)
        axes.text(tick, 0.35, str(tick), ha="center", va="bottom", fontsize=8)
    axes.set_xlim(0.7, count + 0.3)
    axes.set_ylim(-(depth + 0.9 * left), 2.9)
    axes.set_axis_off()
    axes.set_title(panel.title)

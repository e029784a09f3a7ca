"""Figures: the numbers of the rows, the same bytes each time, and found out when they are not."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from leaderboards import build_leaderboard, check_published, merge, render, render_published
from leaderboards.drawing import (
    COLOURS,
    _canvas,
    _heights,
    _ranks,
    _same_strokes,
    difference,
    draw,
    look,
)
from leaderboards.figures import CurvePanel, Figure, RankPanel
from leaderboards.page import make_page

TASKS = [f"task-{number:02d}" for number in range(12)]
NASTY = "_a $x^2$ <b>&\"' \u202e漢"


def figures_of(frame):
    return {figure.name: figure for figure in make_page(build_leaderboard(frame)).figures}


@pytest.fixture(scope="module")
def curves(rows):
    return figures_of(rows)["toy-scaling"]


@pytest.fixture(scope="module")
def drawn(curves):
    return draw(curves)


def test_curves_are_the_means_and_intervals_of_the_cells(rows, curves) -> None:
    board = build_leaderboard(rows)
    assert [panel.title for panel in curves.panels][:2] == ["sst2, tfidf-lr", "sst2, probe"]
    panel = curves.panels[3]
    assert panel.title == "mrpc, probe"
    cells = [board.cell("mrpc", "probe", dpc, ("herding", "{}")) for dpc in ("5", "10", "20")]
    (curve,) = [one for one in panel.curves if one.label == "herding"]
    expected = [(c.mean, c.summary.ci_low, c.summary.ci_high) for c in cells]
    assert [point[0] for point in curve.points] == [5, 10, 20]
    np.testing.assert_allclose([p[1:] for p in curve.points], 100 * np.array(expected), atol=1e-4)
    full = board.cell("mrpc", "probe", "0", ("full", "{}"))
    assert panel.full == pytest.approx(100 * full.mean, abs=1e-4)


def test_wide_suites_have_a_panel_a_learner_and_ranks_from_ten_tasks_on(make_rows) -> None:
    frame = make_rows(tasks=TASKS, sets=3, seeds=1)
    figures = figures_of(frame)
    assert list(figures) == ["toy-scaling", "toy-ranks"]
    assert [panel.title for panel in figures["toy-scaling"].panels] == ["tfidf-lr", "probe"]
    panel = figures["toy-ranks"].panels[0]
    assert panel.title == "tfidf-lr, DPC 5"
    assert sum(rank for _, rank in panel.ranks) == pytest.approx(6)
    assert list(figures_of(frame[frame.task.isin(TASKS[:9])])) == ["toy-scaling"]


def test_one_budget_has_no_curve_and_too_many_panels_are_no_figure(make_rows) -> None:
    few = {"sets": 2, "seeds": 1, "full": False}
    assert figures_of(make_rows(tasks=("a",), dpcs=("5",), **few)) == {}
    many = {"tasks": "abcdef", "dpcs": ("5", "10")}
    assert "toy-scaling" in figures_of(make_rows(learners="uvwx", **many, **few))
    assert "toy-scaling" not in figures_of(make_rows(learners="uvwxy", **many, **few))


def test_the_same_numbers_give_the_same_bytes_and_the_last_bit_changes_none(
    rows, curves, drawn
) -> None:
    assert draw(curves) == drawn
    nudged = figures_of(rows.assign(score=np.nextafter(rows.score, 1)))["toy-scaling"]
    assert nudged == curves


def test_another_score_is_another_hash(rows, curves) -> None:
    changed = rows.copy()
    changed.loc[0, "score"] += 0.05
    assert figures_of(changed)["toy-scaling"].data_hash != curves.data_hash


def test_both_files_open_and_the_svg_needs_nothing_from_elsewhere(drawn) -> None:
    from matplotlib.image import imread

    picture = imread(io.BytesIO(drawn[".png"]))
    assert picture.shape[0] > 300
    assert picture.std() > 0.05
    root = ElementTree.fromstring(drawn[".svg"])
    texts = {"".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")}
    assert {"sst2, probe", "full data", "examples per class"} <= texts
    assert not re.search(rb'(?:xlink:)?href="(?!#)', drawn[".svg"])
    assert b"<script" not in drawn[".svg"]


def test_the_alt_text_says_what_is_seen(curves) -> None:
    assert "random, k-centers, herding" in curves.alt
    best = max((c.points[-1][1], c.label) for c in curves.panels[0].curves)
    assert f"sst2, tfidf-lr: {best[1]} {best[0]:.1f}" in curves.alt


def test_names_of_any_content_are_drawn_as_they_are(make_rows) -> None:
    frame = make_rows(
        tasks=(NASTY,), methods={NASTY: 0.0, "k-centers": 0.1}, learners=("a",), sets=2, seeds=1
    )
    (figure,) = figures_of(frame).values()
    root = ElementTree.fromstring(draw(figure)[".svg"])
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]
    assert sum("$x^2$ <b>&\"'" in text for text in texts) == 2
    assert not any("\u202e" in text for text in texts)
    page = render(build_leaderboard(frame), "html")
    assert page.count("<svg") == 1


def test_colours_can_be_told_apart_without_red_or_green() -> None:
    # Dichromats see about what is left of sRGB after these projections (Viénot et al., 1999).
    deutan = np.array([[0.29, 0.71, 0], [0.29, 0.71, 0], [-0.02, 0.02, 1]])
    protan = np.array([[0.11, 0.89, 0], [0.11, 0.89, 0], [0.005, -0.005, 1]])
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLOURS])
    for seen in (rgb, (rgb**2.2) @ deutan.T, (rgb**2.2) @ protan.T):
        distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert distance[~np.eye(len(seen), dtype=bool)].min() > 0.08


def test_lines_of_many_methods_differ_in_more_than_their_markers() -> None:
    lines = [(look(place)["color"], look(place)["linestyle"]) for place in range(3 * len(COLOURS))]
    assert len(set(lines)) == len(lines)


def test_bars_end_at_the_ranks_of_their_methods() -> None:
    """A longer bar, or a round end, would join methods that the test tells apart."""
    from matplotlib.figure import Figure as Canvas

    panel = RankPanel(
        "probe", (("a", 1.0), ("b", 1.5), ("c", 2.45), ("d", 2.5)), 0.96, (("a", "b"), ("b", "c"))
    )
    axes = Canvas().subplots()
    _ranks(axes, panel, {name: look(place) for place, name in enumerate("abcd")}, bars=2)
    bars = [line for line in axes.lines if line.get_linewidth() == 3]
    assert [tuple(line.get_xdata()) for line in bars] == [(1.0, 1.5), (1.5, 2.45)]
    assert {line.get_solid_capstyle() for line in bars} == {"butt"}


def test_long_names_leave_the_axis_of_ranks_its_room() -> None:
    def figure(*names: str) -> Figure:
        ranks = tuple((name, float(place)) for place, name in enumerate(names, 1))
        return Figure("x-ranks", "x", "x", 1, names, (RankPanel("probe", ranks, 1.0, ()),))

    def inches_of_axis(drawing: Figure) -> float:
        canvas = _canvas(drawing)
        canvas.canvas.draw()
        return canvas.axes[0].get_position().width * canvas.get_figwidth()

    long = [f"{letter} method of a rather long name" for letter in "abcdefghi"]
    assert inches_of_axis(figure(*long)) > 1.5
    assert _canvas(figure(*long)).get_figwidth() > _canvas(figure(*"abcdefghi")).get_figwidth()


def test_a_wide_band_does_not_press_the_means_together(curves) -> None:
    panel = curves.panels[3]
    means = [p[1] for c in panel.curves for p in c.points] + [panel.full]
    narrow = _heights(panel)
    assert narrow[0] < min(means) < max(means) < narrow[1]
    first, *others = panel.curves
    wide = replace(first, points=tuple((x, mean, 0.0, 100.0) for x, mean, *_ in first.points))
    low, high = _heights(replace(panel, curves=(wide, *others)))
    assert low < min(means) < max(means) < high
    assert high - low < 2 * (max(means) - min(means))
    (axes,) = _canvas(replace(curves, panels=(replace(panel, curves=(wide, *others)),))).axes[:1]
    assert axes.get_ylim() == (low, high)


# What `--check` finds


def another_pixel(png: bytes) -> bytes:
    """Paint a corner of a PNG black, keeping what it says of itself."""
    from matplotlib.image import imread, imsave

    picture = imread(io.BytesIO(png)).copy()
    picture[:80, :120, :3] = 0
    said = re.search(rb"[0-9a-f]{16} matplotlib [\w.+]+", png)[0].decode()
    buffer = io.BytesIO()
    imsave(buffer, picture, format="png", metadata={"Description": said})
    return buffer.getvalue()


def truncated(png: bytes) -> bytes:
    return png[: len(png) // 2]


@pytest.mark.parametrize(
    ("suffix", "change", "message"),
    [
        (".svg", lambda body: body.replace(b"herding", b"hording"), "svg was changed"),
        (".svg", lambda body: body.replace(b" matplotlib", b"x matplotlib"), "svg was not drawn"),
        (".png", another_pixel, "png was changed"),
        (".png", truncated, "png was changed"),
        (".png", lambda body: b"", "png was not drawn"),
    ],
)
def test_a_changed_file_is_told(curves, drawn, suffix, change, message) -> None:
    assert difference(curves, drawn) == ""
    assert message in difference(curves, {**drawn, suffix: change(drawn[suffix])})


def moved(svg: bytes, by: float) -> bytes:
    """Move each point of an SVG's paths, and rename its clip paths as bounds of their own would."""
    svg = re.sub(rb"([ML]) ([\d.]+) ", lambda at: b"%s %.6f " % (at[1], float(at[2]) + by), svg)
    return re.sub(rb'(id="|#)(p[0-9a-f]{10})\b', rb"\1p0\2", svg)


def test_the_last_bits_of_another_processor_are_no_change(curves, drawn) -> None:
    elsewhere = moved(drawn[".svg"], 1e-6)
    assert b'id="p0p' in elsewhere
    assert elsewhere != drawn[".svg"]
    assert difference(curves, {**drawn, ".svg": elsewhere}) == ""
    assert "svg was changed" in difference(curves, {**drawn, ".svg": moved(drawn[".svg"], 0.1)})


def test_what_looks_like_a_number_beyond_all_is_itself(curves, drawn) -> None:
    same = drawn[".svg"].replace(b"</svg>", b"<!-- 12e5678 --></svg>")
    assert _same_strokes(same, same)
    assert not _same_strokes(same, same.replace(b"12e5678", b"12e5679"))


def test_a_curve_in_the_clip_path_of_another_is_a_change(curves, drawn) -> None:
    used = re.findall(rb"url\(#(p[0-9a-f]{10})\)", drawn[".svg"])
    first, other = used[0], next(name for name in used if name != used[0])
    swapped = drawn[".svg"].replace(b"url(#%s)" % first, b"url(#%s)" % other, 1)
    assert "svg was changed" in difference(curves, {**drawn, ".svg": swapped})


def test_files_of_another_version_are_known_by_the_hash_of_their_data(curves, drawn) -> None:
    def aged(body: bytes) -> bytes:
        return re.sub(rb"matplotlib [\d.]+", b"matplotlib 3.0.0", body)

    old = {".svg": aged(drawn[".svg"]) + b"<!-- drawn otherwise -->", ".png": aged(drawn[".png"])}
    assert difference(curves, old) == ""
    other = {
        suffix: body.replace(curves.data_hash.encode(), b"0" * 16) for suffix, body in old.items()
    }
    assert "was not drawn from these rows" in difference(curves, other)


def test_missing_and_stale_figures_are_drift_and_rendering_mends_both(rows, tmp_path) -> None:
    results, published = tmp_path / "toy.parquet", tmp_path / "published"
    merge(results, rows)
    render_published(results, published)
    (published / "toy-scaling.png").unlink()
    (published / "toy-ranks.svg").write_text("old")
    (published / "other-ranks.svg").write_text("of another suite")
    told = check_published(results, published)
    assert told.splitlines() == ["toy-scaling.png (missing)", "toy-ranks.svg is on no page"]
    render_published(results, published)
    assert check_published(results, published) == ""
    assert not (published / "toy-ranks.svg").exists()
    assert (published / "other-ranks.svg").exists()


def test_only_the_published_page_links_to_files(rows, tmp_path) -> None:
    assert "![" not in render(build_leaderboard(rows), "md")
    merge(tmp_path / "toy.parquet", rows)
    render_published(tmp_path / "toy.parquet", tmp_path)
    assert "](toy-scaling.svg)" in (tmp_path / "toy.md").read_text()


def test_a_panel_without_full_data_has_no_line(make_rows) -> None:
    (figure,) = figures_of(make_rows(full=False, sets=2, seeds=1)).values()
    assert all(isinstance(panel, CurvePanel) and panel.full is None for panel in figure.panels)
    assert b"full data" not in draw(figure)[".svg"]

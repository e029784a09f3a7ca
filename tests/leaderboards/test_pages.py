"""What a reader gets: pure, escaped, and readable in every format."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import InputError
from leaderboards import FORMATS, build_leaderboard, render, terminal_tables
from leaderboards.markdown import escape
from leaderboards.rounding import brief, decimals, p_value, percent

NASTY = "a|b <script>alert(1)</script> `c` **d** [e](http://f) $g$ _h_ \\ {i} & \n# j\u202e~~k~~ %^"
TASKS = [f"task-{number:02d}" for number in range(20)]


def sections(page: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def html_of(markdown: str) -> str:
    renderer = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    return renderer.render(markdown)


def text_of(html: str) -> str:
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(html)
    return "".join(found)


# Purity


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_page_does_not_depend_on_the_order_or_types_of_the_rows(rows, form):
    shuffled = rows.sample(frac=1, random_state=1).astype({"task": "category", "score": object})
    shuffled = shuffled[list(reversed(shuffled.columns))].assign(unknown=1)
    assert render(build_leaderboard(shuffled), form) == render(build_leaderboard(rows), form)


def test_the_last_bit_of_a_score_does_not_show(rows):
    nudged = rows.assign(score=np.nextafter(rows.score, 1))
    pages = [render(build_leaderboard(frame), "md") for frame in (rows, nudged)]
    first, second = (re.sub("digest [0-9a-f]+", "", page) for page in pages)
    assert first == second


def test_any_changed_value_changes_the_digest(rows):
    marks = {build_leaderboard(rows).digest}
    for name, value in (("run_key", "other"), ("created", 1.0), ("structural", True)):
        changed = rows.copy()
        changed.loc[0, name] = value
        marks.add(build_leaderboard(changed).digest)
    assert len(marks) == 4


def test_numbers_are_rounded_alike_on_both_sides_of_a_tie():
    assert percent(0.7085 - 1e-16) == percent(0.7085 + 1e-16)
    assert decimals(-1e-13, 1) == "0.0"
    assert percent(float("nan")) == "–"
    assert (brief(0), brief(12.345), brief(60012.3)) == ("0", "12.3", "60,012")
    assert (p_value(1e-9), p_value(0.0321)) == ("<0.0001", "0.032")


# Markdown


def test_main_table_has_method_rows_task_by_dpc_columns_and_the_full_row_last(rows):
    scores = sections(render(build_leaderboard(rows), "md"))["Scores"]
    lines = [line for line in scores.splitlines() if line.startswith("|")]
    header, _, *body = lines[:6]
    assert header.count("|") == 3 * 3 + 2
    assert "sst2<br>10" in header
    assert [line.split("|")[1].strip() for line in body] == [
        "random", "k-centers", "herding", "full",
    ]  # fmt: skip
    assert re.search(r"\d\d\.\d±\d\.\d", body[0])


def test_best_is_bold_and_a_star_is_a_star_when_rendered(make_rows):
    frame = make_rows(methods={"k-centers": 0.0, "dilm": 0.1})
    html = html_of(render(build_leaderboard(frame), "md"))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert (
        sum(bool(re.fullmatch(r"<strong>[\d.]+±[\d.]+</strong>\*", cell)) for cell in cells) == 18
    )


def test_the_only_method_of_a_suite_is_not_bold(make_rows):
    page = render(build_leaderboard(make_rows(methods={"random": 0.0})), "md")
    assert "**" not in page


def test_the_caption_says_what_was_run_and_what_the_marks_mean(rows):
    caption = render(build_leaderboard(rows), "md").split("## ")[0]
    for said in (
        "Suite toy: 3 tasks, 3 methods, 2 learners",
        "20 distilled sets × 5 training seeds",
        "Reference of the tests: k-centers",
        "(UTC) on cpu",
        "standard deviation over all runs",
        "Welch's t-test on the means of the distilled sets",
        "herding: deterministic, so its sets are made from resampled pools (80% of",
        "full: trained on all training rows",
    ):
        assert said in caption
    assert "†" not in caption


def test_partial_cells_are_marked_and_never_bold(make_rows, mark):
    frame = make_rows(methods={"k-centers": 0.0, "dilm": 0.1})
    frame = mark(frame, (frame.method == "dilm") & (frame["seed_index"] == 0), "failed")
    page = render(build_leaderboard(frame), "md")
    assert re.search(r"\| +dilm|\| dilm +\| +[\d.]+±[\d.]+† ", page)
    assert "**" not in page
    assert "† marks a cell with runs missing" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see www.evil.example", "see www<!-- -->.evil.example"),
        ("WWW.evil.example", "WWW<!-- -->.evil.example"),
        ("mail a@evil.example", "mail a@<!-- -->evil.example"),
        ("https://evil.example", "https:&#47;/evil.example"),
        ("minilm@steps=400@learning_rate=0.1", "minilm@steps=400@learning_rate=0.1"),
        ("awww. yes", "awww. yes"),
    ],
)
def test_addresses_make_no_links(text, shown):
    assert escape(text) == shown


@pytest.mark.parametrize("mark", ["=", "+", "-", "@"])
def test_no_text_of_the_csv_is_a_formula(make_rows, mark):
    frame = make_rows(methods={f"{mark}1+1": 0.0, "k-centers": 0.0}, params={"k-centers": "{}"})
    lines = render(build_leaderboard(frame), "csv").splitlines()[1:]
    assert sum(f",'{mark}1+1," in line for line in lines) == 18
    assert not any(cell.startswith(mark) for line in lines for cell in line.split(",")[:6])


def test_names_and_reasons_of_any_content_break_nothing(make_rows, mark):
    frame = make_rows(tasks=(NASTY, "sst2"), methods={NASTY: 0.0, "k-centers": 0.0})
    frame = mark(frame, (frame.method == NASTY) & (frame.dpc == "5"), "failed", NASTY)
    frame["device"] = NASTY
    frame["environment"] = json.dumps({NASTY: NASTY})
    board = build_leaderboard(frame)

    html = html_of(render(board, "md"))
    assert "<script" not in html
    assert "<a " not in html
    assert "<em>" not in html
    shown = text_of(html)
    assert (
        "a|b <script>alert(1)</script> `c` **d** [e](http://f) $g$ _h_ \\ {i} & # j~~k~~ %^"
        in shown
    )
    for table in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        widths = {
            row.count("<td") + row.count("<th>") + row.count("<th ")
            for row in table.split("<tr>")[1:]
        }
        assert len(widths) == 1

    page = render(board, "html")
    assert page.count("<script") == 1
    assert "<b>" not in page
    assert "\u202e" not in page
    assert len(pd.read_csv(io.StringIO(render(board, "csv")))) == 2 * 2 * 7
    tex = render(board, "latex")
    assert "\\textbackslash{}" in tex
    assert not re.search(r"(?<!\\)[#&%](?! )(?!needs)", tex.replace("&  ", "").replace(" & ", ""))


def test_wide_suites_get_a_summary_and_readable_parts(make_rows):
    frame = make_rows(tasks=TASKS, sets=3, seeds=2, learners=("probe",))
    page = render(build_leaderboard(frame), "md")
    parts = sections(page)
    assert list(parts)[:3] == ["Summary", "Scores", "Across learners"]
    headers = re.findall(r"^\| method.*$", parts["Scores"], re.MULTILINE)
    assert [header.count("<br>") for header in headers] == [12] * 5
    assert "all 20" in parts["Summary"]
    assert "Friedman" in parts["Ranks over tasks"]


def test_below_ten_tasks_no_rank_test_is_made_and_the_page_says_so(rows):
    page = render(build_leaderboard(rows), "md")
    assert "## Ranks over tasks" not in page
    assert "would only describe" in page


def test_a_method_that_failed_on_a_task_has_no_average_and_the_others_keep_theirs(make_rows, mark):
    frame = make_rows(full=False, tasks=TASKS[:13], learners=("probe",), dpcs=("10",), sets=3)
    lost = (frame.method == "random") & (frame.task == TASKS[3])
    page = render(build_leaderboard(mark(frame, lost, "failed")), "md")
    across = sections(page)["Across learners"]
    assert "all 13" in page
    assert re.search(r"\| random +\| +– \(12 tasks\) \|", across)
    before = sections(render(build_leaderboard(frame), "md"))["Across learners"]
    kept = [line for line in before.splitlines() if line.startswith("| herding")]
    assert kept == [line for line in across.splitlines() if line.startswith("| herding")]


def test_dependent_tasks_and_uncorrected_diagrams_are_named(make_rows):
    some = ["sst2", "rotten-tomatoes", *TASKS[:10]]
    page = render(build_leaderboard(make_rows(tasks=some, sets=2, seeds=1)), "md")
    ranks = sections(page)["Ranks over tasks"]
    assert "sst2, rotten-tomatoes share sentences" in ranks
    assert "6 diagrams" in ranks
    page = render(build_leaderboard(make_rows(tasks=TASKS[:10], sets=2, seeds=1)), "md")
    assert "share sentences" not in page


def test_a_method_with_few_tasks_has_no_average_and_spoils_none(make_rows):
    frame = make_rows(full=False, tasks=TASKS[:5], methods={"random": 0, "k-centers": 0, "tdd": 0})
    frame = frame[(frame.method != "tdd") | (frame.task == TASKS[0])]
    across = sections(render(build_leaderboard(frame), "md"))["Across learners"]
    assert "all 5" in across
    assert re.search(r"\| tdd +\| +– \(1 task\) \|", across)


def test_coverage_names_causes_once_and_structural_skips_are_no_gap(rows, placeholder):
    other = rows[rows.learner == "probe"].assign(learner="bert-base")
    frame = pd.concat([rows, placeholder(other, other.task != "", "model bert-base is not here")])
    tdd = rows[rows.method == "herding"].assign(method="tdd")
    tdd = placeholder(tdd, tdd.task != "", "TF-IDF cannot use embeddings", structural=True)
    board = build_leaderboard(pd.concat([frame, tdd]))
    coverage = sections(render(board, "md"))["Coverage"]
    assert coverage.count("model bert-base is not here") == 1
    assert "learner bert-base" in coverage
    assert "cannot use embeddings" not in coverage
    page = render(board, "md")
    assert "n/a" in sections(page)["Scores"]
    assert "Without any score (see Coverage): learner bert-base." in page


def test_a_suite_of_which_nothing_ran_still_has_a_page(rows, placeholder):
    board = build_leaderboard(placeholder(rows, rows.task != "", "no data"))
    for form in FORMATS:
        assert render(board, form)
    page = render(board, "md")
    assert "No cell has a score" in page
    assert "| everything |" in page
    assert terminal_tables(board) == []


def test_only_the_full_data_row_ran(rows):
    page = render(build_leaderboard(rows[rows.method == "full"]), "md")
    assert re.search(r"\| full +\| +\d\d\.\d±", page)


def test_info_and_environment_may_be_empty(rows):
    page = render(build_leaderboard(rows.assign(info="{}", environment="", device="")), "md")
    assert "### Environment" not in page
    assert "Each cell is planned with 20 distilled sets" in page


def test_what_some_runs_did_not_record_is_said(rows):
    newer = json.dumps({"versions": {"python": "3.11"}, "bfloat16 computed in": "float32"})
    mixed = rows.assign(environment=rows.environment.mask(rows.learner == "probe", newer))
    page = render(build_leaderboard(mixed), "md")
    assert re.search(r"\| bfloat16 computed in +\| float32, not recorded +\|", page)
    assert re.search(r"\| python +\| 3.11 +\|", page)


def test_submitted_sets_are_marked(rows):
    mine = rows.method == "herding"
    info = rows["info"].mask(mine, rows["info"].str.replace("false", "true"))
    page = render(build_leaderboard(rows.assign(info=info)), "md")
    assert "| herding (submitted) |" in page


def test_budgets_that_differ_by_task_are_not_averaged(make_rows):
    frames = [
        make_rows(tasks=(t,), dpcs=(d,))
        for t, d in zip("abcd", ("2.5", "3", "4", "7.25"), strict=True)
    ]
    page = render(build_leaderboard(pd.concat(frames)), "md")
    assert "## Across learners" not in page
    assert "d<br>7.25" in page


# HTML, LaTeX, terminal


def test_html_is_one_file_for_phones_with_sortable_tables(rows):
    page = render(build_leaderboard(rows), "html")
    assert '<meta name="viewport" content="width=device-width' in page
    # A figure refers to parts of its own, nothing to any other file.
    assert not re.search(r'(src|href)="(?!#)|url\((?!#)', page)
    assert "aria-sort" in page
    assert re.search(r"<tfoot>\s*<tr><td class=text>full</td><td data-v=", page)
    assert page.count("<table") == page.count("</table>") > 8


def test_latex_has_booktabs_bold_and_stars(make_rows):
    tex = render(build_leaderboard(make_rows(methods={"k-centers": 0.0, "dilm": 0.1})), "latex")
    assert tex.count("\\begin{table}") == tex.count("\\bottomrule") == 2
    assert re.search(r"\\textbf\{[\d.]+\$\\pm\$[\d.]+\}\$\^\{\*\}\$", tex)
    assert "\ue000" not in tex


def test_terminal_tables_print_as_they_are(make_rows):
    from rich.text import Text

    frame = make_rows(methods={"k-centers": 0.0, "[red]dilm[/x]\\": 0.1})
    (title, header, lines), *_ = terminal_tables(build_leaderboard(frame))
    assert title == "tfidf-lr"
    assert header[:2] == ["method", "sst2\n5"]
    assert [Text.from_markup(line[0]).plain for line in lines] == [
        "k-centers", "[red]dilm[/x]\\", "full",
    ]  # fmt: skip
    best = Text.from_markup(lines[1][1])
    assert re.fullmatch(r"[\d.]+±[\d.]+\*", best.plain)
    assert best.spans


def test_terminal_tables_of_wide_suites_are_averages(make_rows):
    board = build_leaderboard(make_rows(tasks=TASKS, sets=3, seeds=1))
    assert [len(header) for _, header, _ in terminal_tables(board)] == [10, 10]


def test_an_unknown_format_is_refused(rows):
    with pytest.raises(InputError, match="Did you mean 'html'"):
        render(build_leaderboard(rows), "htm")

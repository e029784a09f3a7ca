"""The HTML page in a real browser: it sorts, and a phone shows it without scrolling sideways."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape

import pytest

from leaderboards import build_leaderboard, render

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

PHONE = 390
"""Width of a common phone in CSS pixels."""

PROBE = """
const page = document.querySelector("iframe").contentDocument;
const table = [...page.querySelectorAll("table")].find(t => t.tFoot);
const column = () => [...table.tBodies[0].rows].map(row => Number(row.cells[1].dataset.v));
const before = column(), heading = table.tHead.rows[0].cells[1];
heading.click();
const down = column(), said = heading.getAttribute("aria-sort");
heading.dispatchEvent(new page.defaultView.KeyboardEvent("keydown", {key: "Enter"}));
const up = column();
table.tHead.rows[0].cells[0].click();
const names = [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
const root = page.documentElement;
document.title = JSON.stringify({
  before, down, up, said, names, foot: table.tFoot.rows[0].cells[0].textContent,
  wide: Math.max(root.scrollWidth, page.body.scrollWidth), shown: root.clientWidth,
  scrolling: [...page.querySelectorAll(".wide")].some(d => d.scrollWidth > d.clientWidth),
  font: parseFloat(page.defaultView.getComputedStyle(table).fontSize),
  figure: page.querySelector("figure svg").getBoundingClientRect().width,
  alt: page.querySelector("figure").getAttribute("aria-label"),
});
"""


@pytest.fixture(scope="module")
def seen(rows, tmp_path_factory):
    page = render(build_leaderboard(rows), "html")
    folder = tmp_path_factory.mktemp("browser")
    frame = f'<iframe style="width:{PHONE}px;height:800px" srcdoc="{escape(page)}"></iframe>'
    script = f'<script>addEventListener("load", () => {{ {PROBE} }});</script>'
    (folder / "phone.html").write_text(f"<!doctype html><body>{frame}{script}</body>")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
        (folder / "phone.html").as_uri(),
    ]  # fmt: skip
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)[1]))


def test_a_click_sorts_downwards_and_enter_upwards(seen) -> None:
    assert seen["down"] == sorted(seen["before"], reverse=True)
    assert seen["up"] == sorted(seen["before"])
    assert seen["said"] == "descending"
    assert seen["names"] in (sorted(seen["names"]), sorted(seen["names"], reverse=True))


def test_the_full_data_row_stays_at_the_bottom(seen) -> None:
    assert seen["foot"] == "full"
    assert "full" not in seen["names"]


def test_a_phone_scrolls_wide_tables_but_never_the_page(seen) -> None:
    assert seen["shown"] <= PHONE
    assert seen["wide"] <= seen["shown"]
    assert seen["scrolling"]
    assert seen["font"] >= 14


def test_figures_fit_the_screen_and_have_words(seen) -> None:
    assert 200 < seen["figure"] <= seen["shown"]
    assert seen["alt"].startswith("Line chart")

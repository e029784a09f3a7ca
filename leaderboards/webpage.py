"""The page as one HTML file that needs nothing else; a click on a heading sorts its table."""

from __future__ import annotations

from html import escape as escape_html

from leaderboards.drawing import draw
from leaderboards.figures import Figure
from leaderboards.model import Leaderboard
from leaderboards.page import make_page
from leaderboards.table import Entry, Section, Table, one_line

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
.wide { overflow-x: auto; }
figure { margin: 1rem 0; }
figure svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
td { white-space: nowrap; }
th { cursor: pointer; vertical-align: bottom; }
th[aria-sort=ascending]::after { content: " ↑"; }
th[aria-sort=descending]::after { content: " ↓"; }
.text { text-align: left; white-space: normal; }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas; }
td:first-child { white-space: nowrap; }
tfoot { font-style: italic; }
"""

SCRIPT = """
for (const th of document.querySelectorAll("th")) {
  const sort = () => {
    const table = th.closest("table"), column = th.cellIndex;
    const up = th.getAttribute("aria-sort") === "descending";
    const key = row => {
      const cell = row.cells[column];
      return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
    };
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      const d = typeof x === "number" ? x - y : x.localeCompare(y, undefined, {numeric: true});
      return up ? d : -d;
    };
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  };
  th.tabIndex = 0;
  th.addEventListener("click", sort);
  th.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
"""


def to_html(board: Leaderboard) -> str:
    """Return the page as one HTML document."""
    page = make_page(board)
    body = "\n".join(_section(section) for section in page.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(page.title)}</h1>\n{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Return text that a browser shows as it is."""
    return escape_html(one_line(text, longest=5000))


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"] if section.title else []
    parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
    if section.points:
        items = "\n".join(f"<li>{escape(point)}</li>" for point in section.points)
        parts.append(f"<ul>\n{items}\n</ul>")
    parts += [_figure(figure) for figure in section.figures]
    parts += [_table(table) for table in section.tables]
    return "\n".join(parts)


def _figure(figure: Figure) -> str:
    """Return a figure as a part of the page: its SVG from the root element on."""
    drawn = draw(figure)[".svg"].decode()
    inside = drawn[drawn.index("<svg") :]
    return f'<figure role="img" aria-label="{escape(figure.alt)}">{inside}</figure>'


def _table(table: Table) -> str:
    def line(tag: str, texts: list[str], values: list[str]) -> str:
        sides = [
            f"<{tag}{' class=text' if place < table.left else ''}{value}>{text}</{tag}>"
            for place, (text, value) in enumerate(zip(texts, values, strict=True))
        ]
        return f"<tr>{''.join(sides)}</tr>"

    head = ["<br>".join(map(escape, name.split("\n"))) for name in table.header]
    lines = [line("td", [_entry(e) for e in row], [_value(e) for e in row]) for row in table.rows]
    cut = len(lines) - table.feet
    title = f"<h3>{escape(table.title)}</h3>\n" if table.title else ""
    foot = "\n<tfoot>\n" + "\n".join(lines[cut:]) + "\n</tfoot>" if table.feet else ""
    return (
        f'{title}<div class="wide"><table>\n<thead>{line("th", head, [""] * len(head))}</thead>\n'
        f"<tbody>\n{chr(10).join(lines[:cut])}\n</tbody>{foot}\n</table></div>"
    )


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    text = f"<strong>{text}</strong>" if entry.bold else text
    text = f'<a href="{escape(entry.link)}">{text}</a>' if entry.link else text
    return text + ("*" if entry.star else "") + ("†" if entry.partial else "")


def _value(entry: Entry) -> str:
    return "" if entry.value is None else f' data-v="{entry.value:.8g}"'

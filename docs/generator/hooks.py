"""What mkdocs runs at a build: the methods' pages, and a stand-in for a page that is not there."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from method_pages import pages
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
SECTION = "Methods"
CLUSTER = "cluster.md"
ABSENT = "# On a cluster\n\nThis version of the documentation has no page on clusters.\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the methods' pages in the navigation, the overview first."""
    names = sorted(set(_pages()) - {"index"})
    listed = ["methods/index.md", *({name: f"methods/{name}.md"} for name in names)]
    config.nav = [{SECTION: listed} if SECTION in entry else entry for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those in `docs/`."""
    for name, text in _pages().items():
        files.append(File.generated(config, f"methods/{name}.md", content=text))
    if files.get_file_from_path(CLUSTER) is None:
        files.append(File.generated(config, CLUSTER, content=ABSENT))
    return files


@functools.cache
def _pages() -> dict[str, str]:
    return pages(ROOT / "leaderboards" / "results")

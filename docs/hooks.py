"""What happens to the pages of the site when it is built: tables of models are filled in, links out of docs/ undone."""

from __future__ import annotations

import inspect
import posixpath
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import zoo
from zoo.cli.format import figure
from zoo.registry import _models

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_SCORES = {"classification": "top-1", "segmentation": "mean IoU"}
TABLES = "<!-- the tables of models -->"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#]*)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Called by MkDocs with the text of each page; gives what is shown instead."""
    if TABLES in markdown:
        markdown = markdown.replace(TABLES, model_tables())
    return without_links_out(markdown, page.file.src_uri)


def without_links_out(markdown: str, source: str) -> str:
    """Links to files beside docs/, which the site does not have, become the mere words, as in the README on the index.

    Args:
        markdown: of a page.
        source: the page's path below docs/.

    Raises:
        FileNotFoundError: if there is no file where a link leads.
    """

    def replace(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(source), link[2]))
        if target.startswith("docs/"):
            return link[0]
        if not (ROOT / target).exists():
            raise FileNotFoundError(f"docs/{source} links to {target}, which does not exist")
        return link[1]

    return _LINK.sub(replace, markdown)


def model_tables() -> str:
    """A heading and a table for each family of the registry, in Markdown."""
    families: dict[type, list[str]] = defaultdict(list)
    for name in zoo.list_models():
        families[_models[name].architecture].append(name)
    sections = []
    for architecture, names in sorted(families.items(), key=lambda family: family[0].__name__.lower()):
        rows = [
            f"### {architecture.__name__}",
            "",
            (inspect.getmodule(architecture).__doc__ or "").splitlines()[0],
            "",
            f"| name | parameters | MACs | input | {_SCORES[zoo.model_info(names[0]).task]} | paper |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
        ]
        for name in names:
            info = zoo.model_info(name)
            macs = "" if info.macs is None else figure(info.macs)
            score = "" if info.top1 is None else f"{info.top1:.1f} %"
            if info.mean_iou is not None:
                score = f"{info.mean_iou:.1f} % ({info.mean_iou_of})"
            number = info.paper.removeprefix("arXiv:")
            paper = info.paper if number == info.paper else f"[{number}](https://arxiv.org/abs/{number})"
            rows.append(f"| `{name}` | {figure(info.parameters)} | {macs} | {info.input_size} | {score} | {paper} |")
        sections.append("\n".join(rows))
    return "\n\n".join(sections)

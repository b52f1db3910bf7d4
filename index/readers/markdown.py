"""Markdown: the text as it is, its headings, its front matter as metadata."""

import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from ..types import Document, Heading, Json
from .decoding import decode
from .metadata import plain
from .text import LONGEST_TITLE, file_title, wiki_headings

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

SUFFIXES = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")


def read(file: BinaryIO, document_id: str) -> Iterator[Document]:
    """Yield the one document; its title is the front matter's, else that of its first heading."""
    text = decode(file.read())
    metadata, start = _front_matter(text)
    body = text[start:]
    headings = _headings(body)
    first = headings[0].text if headings else ""
    if not headings:  # a wiki's text is often named as Markdown
        headings, first = wiki_headings(body)
    title = metadata.get("title")
    if not isinstance(title, str) or not title.strip():
        title = first or file_title(document_id, text)
    line = 1 + text.count("\n", 0, start)
    yield Document(document_id, title.strip(), body, metadata, headings, line=line)


def _front_matter(text: str) -> tuple[dict[str, Json], int]:
    """The metadata between two lines of `---` (YAML) or `+++` (TOML), and where the body starts.

    What does not parse to names and values is no front matter but the start of the text.
    """
    for fence, parse in (("---", _yaml), ("+++", tomllib.loads)):
        if not text.startswith(f"{fence}\n"):
            continue
        end = text.find(f"\n{fence}\n", len(fence))
        if end < 0 and text.rstrip().endswith(f"\n{fence}"):
            end = text.rstrip().rindex(f"\n{fence}")
        if end < 0:
            continue
        try:
            metadata = plain(parse(text[len(fence) + 1 : end + 1]))
        except ValueError:
            continue
        if isinstance(metadata, dict):
            return metadata, min(end + len(fence) + 2, len(text))
    return {}, 0


def _yaml(text: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # A few lines of aliases of aliases can stand for more values than memory holds.
        if "*" in text and any(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, loader)):
            return None
        return yaml.load(text, loader)
    except (yaml.YAMLError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _headings(text: str) -> tuple[Heading, ...]:
    """The headings that stand in no list and no quotation; code fences hold none.

    A paragraph that a rule happens to follow is called a heading by Markdown, but is none.
    """
    lines = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    tokens = _blocks().parse(text)
    headings = (
        Heading(lines[opening.map[0]], int(opening.tag[1]), _words(inline.content))
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open" and opening.level == 0 and opening.map is not None
    )
    return tuple(heading for heading in headings if len(heading.text) <= LONGEST_TITLE)


def _words(heading: str) -> str:
    """A heading's text without its markup: `*A* [link](to)` -> `A link`."""
    (inline,) = _inlines().parseInline(heading)
    parts = (
        " " if part.type in ("softbreak", "hardbreak") else part.content
        for part in inline.children or ()
        if part.type != "html_inline"
    )
    return "".join(parts).strip()


@cache
def _blocks() -> "MarkdownIt":
    # Emphasis and links matter in headings only: a book is parsed in a fraction of the time.
    parser = _inlines_and_blocks()
    parser.core.ruler.disable(["inline"])
    return parser


@cache
def _inlines() -> "MarkdownIt":
    return _inlines_and_blocks()


def _inlines_and_blocks() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")

"""Plain text, and markups that underline their headings (AsciiDoc) or flank them (wikis)."""

import re
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from ..types import Document, Heading
from .decoding import decode

SUFFIXES = (".txt", ".text", ".rst", ".rest", ".asc", ".adoc", ".asciidoc", ".log")

RULE = re.compile(r"""^([-=`:.'"~^_*+#])\1{2,}[ \t]*$""", re.MULTILINE)
COLUMNS = re.compile(r"\S(?: {2,}|\t)\s*\S")  # a table's head, which is ruled off as well
WIKI_HEADING = re.compile(
    r"^[^\S\n]*(=(?: ?=)*)[^\S\n]+(?!=)([^\n]{1,120}?)[^\S\n]+(?<!= )\1[^\S\n]*$", re.MULTILINE
)
LONGEST_TITLE = 120  # characters


def read(file: BinaryIO, document_id: str) -> Iterator[Document]:
    """Yield the one document; its title is the heading that it starts with, else the file name."""
    text = decode(file.read())
    headings, title = underlined_headings(text), ""
    if not headings:
        headings, title = wiki_headings(text)
    elif _is_preamble(text[: headings[0].start]):
        title = headings[0].text
    yield Document(document_id, title or file_title(document_id, text), text, headings=headings)


def file_title(document_id: str, text: str) -> str:
    """The title of a file that gives none: its name. What is empty has no title to be found by."""
    return document_id.rsplit("/", 1)[-1] if text.strip() else ""


def _is_preamble(text: str) -> bool:
    """Whether text before a heading is nothing but comments, directives and fields."""
    return all(not line.strip() or line.startswith(("..", ":", " ")) for line in text.split("\n"))


def underlined_headings(text: str) -> tuple[Heading, ...]:
    """The lines with a rule of one mark below them, and perhaps above; as docutils reads them.

    The level of a style of rule is the order in which the styles appear.
    """
    levels: dict[tuple[str, bool], int] = {}
    headings = []
    for rule in RULE.finditer(text):
        start = text.rfind("\n", 0, max(rule.start() - 1, 0)) + 1
        title = text[start : max(rule.start() - 1, 0)]
        if not _is_title(title, rule.group().rstrip()):
            continue
        above_start = text.rfind("\n", 0, max(start - 1, 0)) + 1
        above = text[above_start : max(start - 1, 0)].rstrip()
        overlined = above == rule.group().rstrip()
        if above and not overlined:
            continue
        level = levels.setdefault((rule[1], overlined), len(levels) + 1)
        headings.append(Heading(above_start if overlined else start, level, title.strip()))
    return tuple(headings)


def wiki_headings(text: str) -> tuple[tuple[Heading, ...], str]:
    """The lines between equal marks, as MediaWiki has them, `== Title ==`, and the text's title.

    The number of marks is the level; a tokenised text has spaces between them. A heading titles the
    text where all others are below it: among its like, it titles a part.
    """
    headings = tuple(
        Heading(match.start(), match[1].count("="), match[2])
        for match in WIKI_HEADING.finditer(text)
    )
    alone = all(heading.level > headings[0].level for heading in headings[1:])
    return headings, headings[0].text if headings and alone else ""


def _is_title(line: str, rule: str) -> bool:
    if not line.strip() or len(line) > LONGEST_TITLE or RULE.match(line) or COLUMNS.search(line):
        return False
    return _width(line.rstrip()) <= len(rule)


def _width(line: str) -> int:
    """Columns that a line takes: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in line
    )

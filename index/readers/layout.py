"""A tree of HTML -> its text as a page lays it out: blocks, lines, table rows; and its headings."""

from typing import TYPE_CHECKING

from ..types import Heading

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

LEVELS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = """
address article aside blockquote body caption center details dir div dl dt fieldset figcaption
figure footer form header hgroup hr main menu nav ol p pre section summary table ul
"""
LONGEST_HEADING = 200  # code points; more is text that was to look large
LISTS = frozenset({"ol", "ul", "menu", "dir"})
PERMALINKS = frozenset({"¶", "\uf0c1", "🔗"})  # shown beside a heading, to be clicked
# What separates two words, by what stands between them; of several, the widest.
NOTHING, SPACE, CELL, LINE, BLOCK = range(5)
GAPS = ("", " ", " | ", "\n", "\n\n")
GAP_AROUND = {"br": LINE, "dd": LINE, "li": LINE, "tr": LINE, "td": CELL, "th": CELL}
GAP_AROUND |= dict.fromkeys([*BLOCKS.split(), *LEVELS], BLOCK)


def lay_out(root: "LexborNode", silent: set[int]) -> tuple[str, tuple[Heading, ...]]:
    """The text below `root`, without the nodes whose `mem_id` is in `silent`, and its headings."""
    page = _Page()
    # A stack in place of recursion: a page may nest deeper than Python does.
    waiting: list[tuple[LexborNode, bool]] = [(root, False)]
    while waiting:
        node, closing = waiting.pop()
        if closing:
            page.close(node.tag or "")
            continue
        if node is not root and node.next is not None:
            waiting.append((node.next, False))
        if node.is_text_node:
            page.write(node.text_content or "")
        elif node.is_element_node and node.mem_id not in silent:
            page.open(node.tag or "")
            waiting.append((node, True))
            if node.child is not None:
                waiting.append((node.child, False))
    return "".join(page.parts), tuple(page.headings)


class _Page:
    """What is written so far, and what separates it from what comes next."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.headings: list[Heading] = []
        self.length = 0
        self.gap = NOTHING
        self.marker = ""  # of the list item that has begun
        self.lists = 0  # lists that are open
        self.held = ""  # white space of a `pre`, written if more of it follows
        self.verbatim = 0  # elements `pre` that are open
        self.heading_from: tuple[int, int] | None = None  # in parts, in code points

    def open(self, tag: str) -> None:
        if tag == "br" and self.gap == LINE:
            self.gap = BLOCK
        self.gap = max(self.gap, self._gap_around(tag))
        if tag == "li":
            self.marker = "- "
        elif tag in LISTS:
            self.lists += 1
        elif tag == "pre":
            self.verbatim += 1
        elif tag in LEVELS:
            self.heading_from = len(self.parts), self.length

    def close(self, tag: str) -> None:
        if tag in LISTS:
            self.lists -= 1
        if tag != "br":
            self.gap = max(self.gap, LINE if tag == "dt" else self._gap_around(tag))
        if tag == "pre":
            self.verbatim -= 1
            self.held = ""
        elif tag in LEVELS and self.heading_from is not None:
            part, start = self.heading_from
            self.heading_from = None
            written = "".join(self.parts[part:])
            title = " ".join(written.split()).removeprefix("- ")
            if 0 < len(title) <= LONGEST_HEADING:
                start += len(written) - len(written.lstrip())
                self.headings.append(Heading(start, LEVELS[tag], title))

    def _gap_around(self, tag: str) -> int:
        # What a list item starts with stands beside its marker; a list in a list, below its item.
        if self.marker or (tag in LISTS and self.lists):
            return min(GAP_AROUND.get(tag, NOTHING), LINE)
        return GAP_AROUND.get(tag, NOTHING)

    def write(self, text: str) -> None:
        if self.verbatim:
            self._write_verbatim(text)
            return
        words = " ".join(text.split())
        if words in PERMALINKS:
            return
        if text[:1].isspace():
            self.gap = max(self.gap, SPACE)
        if words:
            self._put(words)
            if text[-1].isspace():
                self.gap = max(self.gap, SPACE)

    def _write_verbatim(self, text: str) -> None:
        kept = text.rstrip()
        if not kept:
            self.held += text
            return
        if self.gap == NOTHING:
            self._put(self.held + kept)
        else:
            # The first line keeps its indentation, and no empty line before it.
            self._put((self.held + kept).lstrip("\n"))
        self.held = text[len(kept) :]

    def _put(self, text: str) -> None:
        gap = GAPS[self.gap] if self.parts else ""
        written = gap + self.marker + text
        self.parts.append(written)
        self.length += len(written)
        self.gap, self.marker = NOTHING, ""

"""HTML: the main text of a page, its title and headings; no scripts, styles, navigation."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..types import Document, Heading
from .decoding import decode
from .layout import lay_out
from .text import file_title

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

SUFFIXES = (".html", ".htm", ".xhtml", ".shtml")

STARTS = re.compile(
    rb"\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!doctype\s+html|html|head)\b", re.S | re.I
)
DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
DECLARED_WITHIN = 4096  # bytes; the standard says 1024, pages do not heed it
# Written as XML, an empty element closes itself; read as HTML, it would swallow what follows.
SELF_CLOSED = re.compile(r"<(a|div|iframe|script|span|style|textarea|title)\b([^<>]*)/>")

NEVER_TEXT = (
    "annotation, audio, button, canvas, dialog, head, iframe, input, map, noscript, object, script,"
    "select, style, svg, template, textarea, title, video, [hidden], [aria-hidden=true],"
    ".anchor, .headerlink, .anchorjs-link, .sr-only, .visually-hidden"
)
AROUND_THE_TEXT = (
    "nav, footer, [role=banner], [role=contentinfo], [role=menu], [role=menubar],"
    "[role=navigation], [role=search], .breadcrumb, .breadcrumbs, .docnav, .footer, .menu,"
    ".nav, .navbar, .navfooter, .navheader, .navigation, .navpath, .pagination, .related, .sidebar,"
    ".skip-link, .sphinxsidebar, .toc, #toc, #footer, #navbar, #sidebar,"
    "header:not(:has(h1, h2, h3)), .header:not(:has(h1, h2, h3)), [role=complementary]"
)
MAIN = ("main, [role=main]", "article")


def recognises(head: bytes) -> bool:
    """Whether data starts as a page does."""
    return STARTS.match(head) is not None


def read(file: BinaryIO, document_id: str) -> Iterator[Document]:
    """Yield the one document, the text of the page's main part with a blank line between blocks."""
    from selectolax.lexbor import LexborHTMLParser

    data = file.read()
    declared = DECLARED.search(data, 0, DECLARED_WITHIN)
    markup = decode(data, declared[1].decode("ascii") if declared else None)
    if markup.lstrip().startswith("<?xml"):
        markup = SELF_CLOSED.sub(r"<\1\2></\1>", markup)
    page = LexborHTMLParser(markup)
    text, headings = _main_text(page)
    title = _title(page, headings) or file_title(document_id, text)
    yield Document(document_id, title, text, headings=headings, lined=False)


def _main_text(page: "LexborHTMLParser") -> tuple[str, tuple[Heading, ...]]:
    """Of the first that holds any text: the one element declared as main, the only article, the
    body without what is around its text, the body with it.
    """
    never = {node.mem_id for node in page.css(NEVER_TEXT)}
    around = never | {node.mem_id for node in page.css(AROUND_THE_TEXT)}
    for selector in MAIN:
        found = page.css(selector)
        if len(found) == 1 and (laid_out := lay_out(found[0], around))[0]:
            return laid_out
    if page.body is None:
        return "", ()
    laid_out = lay_out(page.body, around)
    return laid_out if laid_out[0] else lay_out(page.body, never)


def _title(page: "LexborHTMLParser", headings: tuple[Heading, ...]) -> str:
    """The page's `<title>`; the heading that it starts with, where the site's name follows."""
    node = page.css_first("title")
    title = " ".join(node.text().split()) if node else ""
    texts = [heading.text for heading in headings]
    if not title:
        return texts[0] if texts else ""
    return next((text for text in texts[:3] if title.startswith(text)), title)

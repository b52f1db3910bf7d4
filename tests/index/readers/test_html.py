"""HTML: main text, title, headings; layout as a page has it."""

from io import BytesIO

import pytest

from clsearch.index.readers.html import read, recognises
from clsearch.index.types import Document

PAGE = """\
<!DOCTYPE html><html><head><title>Routers — The Site</title><style>p {}</style>
<script>var hidden = "<p>no</p>"</script></head>
<body><nav><a href=/>Home</a></nav><div class="sidebar">Side</div>
<header><p>Banner</p></header>
<h1>Routers<a class="headerlink" href="#r">¶</a></h1>
<p>To <b>re</b>set
   it, hold&nbsp;the button &amp; wait.</p>
<ul><li>One<ul><li>Inner</ul><li><p>Two</p></ul>
<h2>Table</h2>
<table><tr><th>Name<th>Age<tr><td>Ada<td>36</table>
<pre>
  if a:
      b

</pre>
<dl><dt>term<dd>meaning</dl>
a<br>b<br><br>c
<footer>Copyright</footer><noscript>No</noscript></body></html>
"""
TEXT = """\
Routers

To reset it, hold the button & wait.

- One
- Inner
- Two

Table

Name | Age
Ada | 36

  if a:
      b

term
meaning

a
b

c"""


def document(markup: str | bytes) -> Document:
    """The one document of what is given."""
    data = markup if isinstance(markup, bytes) else markup.encode()
    (found,) = read(BytesIO(data), "site/a.html")
    return found


def test_a_page() -> None:
    """Blocks, lines, cells, lists and verbatim text; no scripts, styles or navigation."""
    found = document(PAGE)
    assert found.text == TEXT
    assert found.title == "Routers"
    assert not found.lined
    assert [(h.level, h.text, found.text[h.start :][: len(h.text)]) for h in found.headings] == [
        (1, "Routers", "Routers"),
        (2, "Table", "Table"),
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>around<main><p>main</main><p>after", "main"),
        ("<p>around<div role=main>main</div>", "main"),
        ("<p>around<article>only</article>", "only"),
        ("<article>one</article><article>two</article>", "one\n\ntwo"),
        ("<main></main><p>body", "body"),
        ("<nav>nothing else</nav>", "nothing else"),
        ("<main><header><h1>kept</h1></header><p>x</main>", "kept\n\nx"),
        ("<p hidden>no<p>yes", "yes"),
        ("<form><p>kept<button>no</button></form>", "kept"),
        ("", ""),
        ("<frameset>", ""),
    ],
)
def test_the_main_part(markup: str, text: str) -> None:
    """The part that holds the text, and the whole where none does."""
    assert document(markup).text == text


def test_titles() -> None:
    """The title, without the name of the site; else a heading; else the file."""
    assert document("<title> A\n page </title><h1>Other</h1>").title == "A page"
    assert document("<h1>Heading</h1>").title == "Heading"
    assert document("<p>text").title == "a.html"
    assert document("<title>Site</title>").title == "Site"


def test_elements_that_xml_closes_at_once_swallow_nothing() -> None:
    """`<script/>` is empty in XHTML, and opens a script in HTML."""
    markup = (
        '<?xml version="1.0"?><html><head><script src="a.js"/><title/></head><p>Text</p></html>'
    )
    assert document(markup).text == "Text"


def test_the_declared_encoding() -> None:
    """A `meta` element names the encoding."""
    markup = '<meta http-equiv=Content-Type content="text/html; charset=windows-1250"><p>Żó'
    assert document(markup.encode("cp1250")).text == "Żó"


def test_depth_is_no_danger() -> None:
    """Elements nest deeper than a stack of calls."""
    assert document("<div>" * 5_000 + "deep").text == "deep"


def test_what_is_a_page() -> None:
    """By its start, comments and declarations before it."""
    assert recognises(b"\n<!-- x --><!doctype HTML>")
    assert recognises(b'<?xml version="1.0"?>\n<html>')
    assert not recognises(b"a <html> b")

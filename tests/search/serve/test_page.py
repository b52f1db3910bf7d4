"""The page, in a browser, against a server that listens."""

import base64
import contextlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.index import Index
from words_encoder import WordsEncoder

from .conftest import free_port, listening

Tab = Callable[..., Any]

EMOJI = "\N{PARTY POPPER}\N{FAMILY}\N{VARIATION SELECTOR-16} "
JADE = f"{EMOJI}Greetings. The jade is green {EMOJI}and hard. It is old."
HEADED = "# Readme\n\n## What this is\n\nNotes about stones and tools."
HANDLE = "A hammer splits flint. " + "The handle is ash. " * 30
LAVA = "Basalt stands in columns.\n\nIt was lava, not jade."
STONES = [
    (
        "notes/minerals/jade.md",
        "Jade",
        "en",
        JADE,
    ),
    ("notes/minerals/amber.md", "Amber", "en", "Amber was resin. Insects are caught in amber."),
    (
        "notes/minerals/basalt.md",
        "Basalt",
        "de",
        "Basalt stands in columns.\n\nIt was lava, not jade.",
    ),
    (
        "notes/tools/hammer.md",
        "Hammer",
        "de",
        "A hammer splits flint. " + "The handle is ash. " * 30,
    ),
    ("notes/tools/chisel.md", "Chisel", "en", "A chisel of copper cuts jade slowly."),
    ("notes/tools/saw.py", "saw.py", "en", "def saw(stone):\n    return 'copper wire and sand'\n"),
    (
        "notes/readme.md",
        "Readme",
        "en",
        "# Readme\n\n## What this is\n\nNotes about stones and tools.",
    ),
]


def stones(path: Path) -> Path:
    """An index of a few notes, in folders, with metadata."""
    with Index.open(path, encoder=WordsEncoder()) as index:
        index.add(
            {"id": id, "title": title, "text": text, "metadata": {"lang": lang}}
            for id, title, lang, text in STONES
        )
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server of the notes."""
    path = stones(tmp_path_factory.mktemp("served") / "notes.clsearch")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(path.parent / "cache"))
        with listening([path], free_port()) as address:
            yield address


def ask(page: Any, query: str) -> None:
    """Type it, and wait for its answer."""
    with page.expect_response(
        lambda one: "/v1/search" in one.url and one.request.post_data_json["query"] == query
    ):
        page.fill("#query", query)


def documents(page: Any) -> list[str]:
    """The paths of the hits, without their lines."""
    return [path.rsplit(":", 1)[0] for path in page.locator(".hit .path").all_inner_texts()]


def eventually(page: Any, condition: str) -> None:
    """Until a JavaScript expression is true; the page's policy keeps Playwright from waiting so."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never true: {condition}")


def test_type_and_see(tab: Tab, address: str) -> None:
    """Hits with place, score, the answering sentence and the matching words, which are as found."""
    page = tab()
    page.goto(address)
    assert page.evaluate("document.activeElement.id") == "query"
    eventually(page, "document.querySelector('#empty').innerText.includes('7 documents')")
    ask(page, "jade green")
    page.wait_for_selector(".hit")
    assert documents(page)[0] == "notes/minerals/jade.md"
    best = page.locator(".hit").first
    # Offsets count code points, a string of JavaScript does not.
    assert best.locator("mark").inner_text() == f"The jade is green {EMOJI}and hard."
    assert best.locator("b").all_inner_texts() == ["jade", "green"]
    assert best.locator(".path").inner_text() == "notes/minerals/jade.md:1"
    score = float(best.locator(".number").inner_text())
    share = best.locator(".bar").evaluate("bar => bar.style.getPropertyValue('--share')")
    assert float(share.rstrip("%")) == pytest.approx(100 * score, abs=0.51)
    assert "cosine" in best.locator(".score").get_attribute("title")
    assert re.search(r"document.* ms", page.inner_text("#status"))
    assert page.url == f"{address}/?q=jade+green"


def test_the_address_holds_what_is_asked(tab: Tab, address: str) -> None:
    """A burst of typing is one step back, and an address can be opened as it is."""
    page = tab()
    page.goto(address)
    page.wait_for_selector("#empty h2")
    for query in ("j", "ja", "jade"):
        ask(page, query)
    page.check("input[value=lexical]", force=True)
    page.wait_for_url("**mode=lexical")
    page.go_back()
    eventually(page, "document.querySelector('#query').value === 'jade'")
    assert page.is_checked("input[value=hybrid]")
    page.go_back()
    eventually(page, "document.querySelector('#query').value === ''")
    page.goto(f"{address}/?q=copper&mode=dense&where=lang+%3D+%27en%27")
    page.wait_for_selector(".hit")
    assert page.input_value("#query") == "copper"
    assert page.input_value("#where") == "lang = 'en'"
    assert page.is_checked("input[value=dense]")
    assert page.title() == "copper \N{EN DASH} clsearch"


def test_what_is_typed_before_the_page_is_ready_counts(tab: Tab, address: str) -> None:
    page = tab()
    held: list[Any] = []
    page.route("**/v1/indexes", lambda route: held.append(route))
    page.goto(f"{address}/?q=amber")
    assert page.input_value("#query") == "amber"
    page.fill("#query", "chisel")
    eventually(page, "location.search === '?q=chisel'")
    page.fill("#query", "chisel saw")  # and is not asked for yet
    with page.expect_response(lambda one: "/v1/search" in one.url):
        held[0].continue_()
    assert page.input_value("#query") == "chisel saw"
    eventually(page, "location.search === '?q=chisel+saw'")
    page.wait_for_selector(".hit")
    assert documents(page)[0].startswith("notes/tools/")


def test_older_answers_are_dropped(tab: Tab, address: str) -> None:
    """What comes late is not shown over what was asked after it."""
    page = tab()
    held = []

    def hold(route: Any) -> None:
        if route.request.post_data_json["query"] == "amber":
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/search", hold)
    page.goto(address)
    page.fill("#query", "amber")
    eventually(page, "location.search === '?q=amber'")
    ask(page, "chisel")
    page.wait_for_selector(".hit")
    with contextlib.suppress(Exception):  # the page no longer waits for it
        held[0].continue_()
    page.wait_for_timeout(400)
    assert documents(page)[0] == "notes/tools/chisel.md"


def test_weak_hits_are_called_weak(tab: Tab, address: str) -> None:
    """Where no hit is better, the first line says it; a line parts them from better ones."""
    page = tab()

    def weaken(route: Any) -> None:
        found = route.fetch().json()
        for hit in found["hits"]:
            hit["weak"] = hit["rank"] > strong
        route.fulfill(json=found)

    page.route("**/v1/search", weaken)
    strong = 0
    page.goto(f"{address}/?q=jade")
    page.wait_for_selector(".hit")
    assert page.inner_text("#status").startswith("Nothing here answers that well")
    assert page.locator(".weak:visible").count() == page.locator(".hit").count()
    strong = 1
    ask(page, "jade hard")
    eventually(
        page, "/^1 document and \\d+ weak/.test(document.querySelector('#status').innerText)"
    )
    parted = "item => getComputedStyle(item, '::before').content"
    assert "unrelated" in page.locator(".hit").nth(1).evaluate(parted)
    assert page.locator(".hit").nth(2).evaluate(parted) == "none"


def test_filters(tab: Tab, address: str) -> None:
    """Typed ones leave what passes; one that cannot be read is said at the box, and mended."""
    page = tab()
    page.goto(f"{address}/?q=jade")
    page.wait_for_selector(".hit")
    page.fill("#where", "lang = 'de'")
    eventually(page, "document.querySelectorAll('.hit').length === 2")
    assert set(documents(page)) == {"notes/minerals/basalt.md", "notes/tools/hammer.md"}
    page.fill("#where", "lang = = 'de'")
    page.wait_for_selector("#where-error:visible")
    assert "at character 8" in page.inner_text("#where-error")
    assert page.get_attribute("#where", "aria-invalid") == "true"
    page.fill("#where", "lang = 'el'")
    page.wait_for_selector("text=Nothing found")
    assert page.is_hidden("#where-error")
    assert page.get_attribute("#where", "aria-invalid") is None
    page.click("text=Search without the filter")
    eventually(page, "document.querySelectorAll('.hit').length === 7")
    assert page.input_value("#where") == ""


def test_facets_add_to_the_filter(tab: Tab, address: str) -> None:
    """Values of one facet are alternatives; a second click takes a value out again."""
    page = tab()
    page.goto(f"{address}/?q=jade")
    tools, minerals, en = (
        page.get_by_role("button", name=re.compile(name)) for name in ("tools", "minerals", "^en")
    )
    assert tools.inner_text().split() == ["tools", "3"]

    def expect(where: str, count: int, pressed: Sequence[Any]) -> None:
        eventually(page, f"document.querySelectorAll('.hit').length === {count}")
        assert page.input_value("#where") == where
        for one in (tools, minerals, en):
            assert one.get_attribute("aria-pressed") == str(one in pressed).lower()

    tools.click()
    expect("path like 'notes/tools/%'", 3, [tools])
    minerals.click()
    expect("(path like 'notes/tools/%' or path like 'notes/minerals/%')", 6, [tools, minerals])
    en.click()
    expect(
        "(path like 'notes/tools/%' or path like 'notes/minerals/%') and lang = 'en'",
        4,
        [tools, minerals, en],
    )
    page.reload()
    minerals.wait_for()
    minerals.click()
    expect("path like 'notes/tools/%' and lang = 'en'", 2, [tools, en])
    page.fill("#where", "path like 'notes/tools/%' or title = 'Jade'")
    eventually(page, "document.querySelectorAll('.hit').length === 4")
    en.click()
    expect("(path like 'notes/tools/%' or title = 'Jade') and lang = 'en'", 3, [en])
    en.click()
    expect("(path like 'notes/tools/%' or title = 'Jade')", 4, [])


def test_open_copy_and_more_like_it(tab: Tab, address: str) -> None:
    """The document as text, at the passage; its path; the documents like it."""
    page = tab(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{address}/?q=jade+green")
    page.wait_for_selector(".hit")
    page.click(".hit:first-child h3 a")
    page.wait_for_selector("#reader:visible")
    assert page.inner_text("#reader h2") == "Jade"
    assert page.locator("#reader .text").text_content() == JADE
    assert page.locator("#reader .passage").text_content() == JADE
    assert page.inner_text("#reader mark") == f"The jade is green {EMOJI}and hard."
    assert page.inner_text("#reader dl").split() == ["lang", "en"]
    page.click("#reader .copy")
    eventually(page, "document.querySelector('#said').innerText === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "notes/minerals/jade.md"
    page.click("#reader .similar")
    page.wait_for_selector("#like:visible")
    assert page.is_hidden("#reader")
    assert page.inner_text("#like span") == "More like notes/minerals/jade.md"
    eventually(page, "document.querySelectorAll('.hit').length === 6")
    assert "notes/minerals/jade.md" not in documents(page)
    page.go_back()
    page.wait_for_selector("#reader:visible")
    page.go_back()
    page.wait_for_selector("#reader", state="hidden")
    assert documents(page)[0] == "notes/minerals/jade.md"


def test_the_reader_scrolls_to_the_passage(tab: Tab, tmp_path: Path) -> None:
    """Of a document of many pages, also where its text takes two units for a code point."""
    text = "".join(f"{EMOJI}Line {n} says nothing.\n\n" for n in range(3000))
    place = len(text) // 2
    text = text[:place] + "\n\nThe zeppelin is here.\n\n" + text[place:]
    with Index.open(tmp_path / "long.clsearch", encoder=WordsEncoder()) as index:
        index.add([{"id": "../up/long.md", "text": text}])
    with listening([tmp_path / "long.clsearch"], free_port()) as address:
        page = tab()
        page.goto(f"{address}/?q=zeppelin")
        page.click(".hit h3 a")
        page.wait_for_selector("#reader mark")
        assert page.inner_text("#reader mark") == "The zeppelin is here."
        frame, mark = (page.locator(f"#reader {one}").bounding_box() for one in (".text", "mark"))
        assert frame["y"] < mark["y"] < frame["y"] + frame["height"] - mark["height"]
        assert page.evaluate("scrollY") == 0
        assert page.locator("#reader .text").text_content() == text


def test_the_map(tab: Tab, address: str) -> None:
    """Points with colours and a legend; the hits lit; a point tells its document and opens it."""
    page = tab()
    with page.expect_response(lambda one: one.url.endswith("/map") and one.status == 200) as drawn:
        page.goto(f"{address}/?q=jade+green&map=1")
    page.wait_for_selector(".legend li")
    assert page.locator(".legend").all_inner_texts()[0].split() == [
        "minerals",
        "tools",
        "none",
        "of",
        "these",
    ]
    page.locator("#map canvas").focus()
    page.keyboard.press("n")
    page.wait_for_selector(".tip:visible")
    assert page.locator(".tip span").inner_text() == "notes/minerals/jade.md:1"
    page.keyboard.press("p")
    page.keyboard.press("n")

    # As the page places it: all points within the frame, on one scale.
    sent = drawn.value.json()
    points = sent["points"]
    x, y, document = (
        memoryview(base64.b64decode(points[name])).cast(kind).tolist()
        for name, kind in (("x", "H"), ("y", "H"), ("document", "I"))
    )
    box = page.locator("#map .plane").bounding_box()
    scale = min((box["width"] - 56) / max(x), (box["height"] - 56) / max(y))
    place = [sent["documents"][one][0] for one in document].index("notes/tools/saw.py")
    left = (box["width"] - max(x) * scale) / 2 + x[place] * scale
    top = (box["height"] - max(y) * scale) / 2 + y[place] * scale
    told = "document.querySelector('.tip span').innerText.startsWith('notes/tools/saw.py')"
    page.mouse.move(box["x"] + left, box["y"] + top)
    eventually(page, told)
    for _ in range(3):
        page.mouse.wheel(0, -200)  # it stays under the mouse
    page.mouse.down()
    page.mouse.move(box["x"] + left + 40, box["y"] + top + 30)
    page.mouse.up()
    assert page.is_hidden("#reader")  # to drag is not to choose
    page.mouse.move(box["x"] + left + 41, box["y"] + top + 30)
    eventually(page, told)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("#reader:visible")
    assert page.inner_text("#reader h2") == "saw.py"
    page.keyboard.press("Escape")
    page.wait_for_selector("#map:visible")

    page.select_option("#map select", label="lang")
    assert page.locator(".legend").inner_text().split() == ["en", "de"]
    colours = """() => {
        const canvas = document.querySelector('#map canvas');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4)
            if (data[i + 3] === 255) seen.add(data.slice(i, i + 3).join());
        return [...seen];
    }"""
    page.click("#map .whole")
    eventually(page, f"({colours})().length > 3")
    page.click("#map .close")
    page.wait_for_selector("#map", state="hidden")


def test_by_keys_alone(tab: Tab, address: str) -> None:
    """From the question to the document, its path, its like, and back to where one was."""
    page = tab(permissions=["clipboard-read", "clipboard-write"])
    page.goto(address)
    page.wait_for_selector("#empty h2")
    page.evaluate("document.activeElement.blur()")
    press = page.keyboard.press
    focused = """(one => one.closest('.hit')?.querySelector('.path').innerText ?? one.id)(
        document.activeElement)"""
    press("/")
    assert page.evaluate(focused) == "query"

    def answer(route: Any) -> None:  # what is asked while it is typed would take the focus back
        if route.request.post_data_json["query"] == "jade green":
            route.continue_()
        else:
            route.fulfill(json={"took_ms": 1, "hits": []})

    page.route("**/v1/search", answer)
    page.keyboard.type("jade green")
    page.wait_for_selector(".hit")
    press("ArrowDown")
    first = page.evaluate(focused)
    assert first == "notes/minerals/jade.md:1"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    press("ArrowDown")
    assert page.evaluate(focused) not in (first, "query")
    press("ArrowUp")
    press("c")
    eventually(page, "document.querySelector('#said').innerText === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "notes/minerals/jade.md"
    press("Enter")
    page.wait_for_selector("#reader:visible")
    assert page.evaluate("document.activeElement.id") == "reader-title"
    press("Escape")
    page.wait_for_selector("#reader", state="hidden")
    assert page.evaluate(focused) == first
    press("g")
    page.wait_for_selector("#map:visible")
    press("Escape")
    page.wait_for_selector("#map", state="hidden")
    press("m")
    page.wait_for_selector("#like:visible")
    press("Escape")
    page.wait_for_selector("#like", state="hidden")
    press("/")
    press("Escape")
    eventually(page, "document.querySelector('#query').value === ''")


def test_every_control_has_a_name(tab: Tab, address: str) -> None:
    """For those who hear the page."""
    page = tab()
    page.goto(f"{address}/?q=jade&map=1")
    page.wait_for_selector(".legend li")
    nameless = """() => [...document.querySelectorAll('button, input, select, canvas, a')].filter(
        one => one.checkVisibility() && !(one.ariaLabel || one.innerText?.trim() || one.title
            || one.labels?.[0]?.innerText.trim())).map(one => one.outerHTML)"""
    assert page.evaluate(nameless) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    named = """() => ['aria-controls', 'aria-labelledby', 'aria-describedby'].flatMap(name =>
        [...document.querySelectorAll(`[${name}]`)].map(one => one.getAttribute(name)))"""
    assert set(page.evaluate(named)) <= set(ids)


def test_a_server_that_is_gone_and_back(tab: Tab, tmp_path: Path) -> None:
    path, port = stones(tmp_path / "notes.clsearch"), free_port()
    page = tab()
    with listening([path], port) as address:
        page.goto(address)
        ask(page, "jade")
        page.wait_for_selector(".hit")
    page.fill("#query", "amber")
    page.wait_for_selector("#alert:visible")
    assert "does not answer" in page.inner_text("#alert")
    with listening([path], port):
        page.wait_for_selector("#alert", state="hidden")
        eventually(page, "document.querySelector('.hit .path').innerText.includes('amber')")
    page.close()


def test_an_error_of_the_server_is_said(tab: Tab, address: str) -> None:
    """In its own words, once, and gone with the next answer."""
    page = tab()
    body = {
        "error": {"message": "the index is <b>damaged</b>", "type": "server_error", "code": "x"}
    }
    page.route("**/v1/search", lambda route: route.fulfill(status=500, json=body))
    page.goto(f"{address}/?q=jade")
    page.wait_for_selector("#alert:visible")
    assert page.inner_text("#alert") == "the index is <b>damaged</b>"
    page.unroute("**/v1/search")
    ask(page, "amber")
    page.wait_for_selector("#alert", state="hidden")


def test_a_document_that_is_gone(tab: Tab, address: str) -> None:
    """Is said to be gone, and leaves no empty reader."""
    page = tab()
    page.goto(f"{address}/?q=jade&open=notes/gone.md")
    page.wait_for_selector("#alert:visible")
    assert "no document" in page.inner_text("#alert")
    assert page.is_hidden("#reader")
    assert page.url == f"{address}/?q=jade"


def test_an_answer_that_comes_later_hides_no_word_of_the_reader(tab: Tab, address: str) -> None:
    """The search takes longer than the document; the next search takes the word away."""
    page = tab()
    page.route("**/v1/search", lambda route: None)
    page.goto(f"{address}/?q=jade&open=notes/gone.md")
    page.wait_for_selector("#alert:visible")
    page.unroute("**/v1/search")  # lets what it held go on
    page.wait_for_selector(".hit")
    assert page.is_visible("#alert")
    assert "no document" in page.inner_text("#alert")
    ask(page, "amber")
    page.wait_for_selector("#alert", state="hidden")


def test_an_empty_index_and_several(tab: Tab, tmp_path: Path) -> None:
    """The first says what to do; the choice goes to the other."""
    with Index.open(tmp_path / "empty.clsearch", encoder=WordsEncoder()):
        pass
    paths = [tmp_path / "empty.clsearch", stones(tmp_path / "notes.clsearch")]
    with listening(paths, free_port()) as address:
        page = tab()
        page.goto(address)
        page.wait_for_selector("text=Nothing is indexed yet")
        assert "clsearch index" in page.inner_text("#empty")
        assert page.locator("#index option").all_inner_texts() == ["empty", "notes"]
        page.select_option("#index", "notes")
        eventually(page, "document.querySelector('#empty').innerText.includes('7 documents')")
        ask(page, "jade")
        page.wait_for_selector(".hit")
        assert page.url == f"{address}/?q=jade&index=notes"
        page.goto(f"{address}/?index=gone&q=jade")
        page.wait_for_selector("text=Nothing is indexed yet")
        page.close()


def test_a_token_is_asked_for(tab: Tab, tmp_path: Path) -> None:
    """A wrong one is said to be wrong; the right one is kept for the tab alone."""
    token = "t" * 43
    with listening([stones(tmp_path / "notes.clsearch")], free_port(), token=token) as address:
        page = tab()
        page.goto(f"{address}/?q=jade")
        page.wait_for_selector("#token:visible")
        assert page.is_hidden("#token .wrong")
        page.fill("#token input", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token .wrong:visible")
        page.fill("#token input", token)
        page.keyboard.press("Enter")
        page.wait_for_selector(".hit")
        assert page.is_hidden("#token")
        page.reload()
        page.wait_for_selector(".hit")
        assert token not in page.url
        assert page.evaluate("localStorage.length") == 0
        page.close()


PAYLOADS = [
    "<script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "<svg onload=window.ran=1>",
    "<svg><script>window.ran=1</script></svg>",
    '"><img src=x onerror=window.ran=1>',
    "'><svg/onload=window.ran=1>",
    "</p></li></ol><script>window.ran=1</script>",
    "</title><script>window.ran=1</script>",
    "</template><script>window.ran=1</script>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<iframe src=javascript:parent.ran=1></iframe>",
    "<a href=javascript:window.ran=1>jade</a>",
    "javascript:window.ran=1",
    "<body onpageshow=window.ran=1>",
    "<details open ontoggle=window.ran=1>",
    "<input autofocus onfocus=window.ran=1>",
    "<video><source onerror=window.ran=1></video>",
    "<math><mtext><img src=x onerror=window.ran=1></mtext></math>",
    "<style>@import 'http://127.0.0.1:9/x.css'</style>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<base href=http://127.0.0.1:9/>",
    "<object data=javascript:window.ran=1></object>",
    "<form action=http://127.0.0.1:9/><button>jade</button></form>",
    "&lt;script&gt;window.ran=1&lt;/script&gt;",
    "\N{RIGHT-TO-LEFT OVERRIDE}<script>window.ran=1</script>\N{ZERO WIDTH SPACE}",
    "${window.ran=1}{{window.ran=1}}`",
    "<mark>jade</mark><b id=query>jade</b>",
    "__proto__",
]


def unlike(place: int) -> str:
    """Words enough that no two documents say nearly the same."""
    return " ".join(f"w{place}x{number}" for number in range(20))


def test_what_documents_say_is_text(tab: Tab, tmp_path: Path) -> None:
    """In text, title, id, headings, keys and values of metadata, query and filter alike."""
    path = tmp_path / "<img src=x onerror=window.ran=1>.clsearch"
    with Index.open(path, encoder=WordsEncoder()) as index:
        index.add(
            {
                "id": f"notes/{payload}/{copy}.md",
                "title": f"{payload} {copy}",
                "text": f"# {payload}\n\n{unlike(2 * place + copy)} jade {payload}",
                "metadata": {payload: payload, "kind": payload},
            }
            for place, payload in enumerate(PAYLOADS)
            for copy in range(2)
        )
    with listening([path], free_port()) as address:
        page = tab()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/?q=jade+window.ran&map=1")
        page.wait_for_selector(".hit")
        page.click("#more")
        eventually(page, f"document.querySelectorAll('.hit').length > {len(PAYLOADS)}")
        shown = page.evaluate("[...document.querySelectorAll('.hit')].map(one => one.textContent)")
        for payload in PAYLOADS:
            assert any(payload in text for text in shown), payload
        page.wait_for_selector(".legend li")
        page.locator("#map canvas").focus()
        for _ in shown:
            page.keyboard.press("n")
            assert page.locator(".tip:visible :is(b, span) *").count() == 0
        page.keyboard.press("Escape")
        for payload in PAYLOADS:
            id = page.evaluate(
                """start => {
                    const read = (a) => new URL(a.href).searchParams.get('open');
                    const links = [...document.querySelectorAll('.hit h3 a')];
                    const link = links.find((a) => read(a).startsWith(start));
                    link.click();
                    return read(link);
                }""",
                f"notes/{payload}/",
            )
            told = "document.querySelector('#reader .path').textContent"
            eventually(page, f"{told} === {json.dumps(id)}")
            assert payload in page.locator("#reader .text").text_content()
        page.click("#reader .similar")
        page.wait_for_selector("#like:visible")
        page.keyboard.press("Escape")
        for payload in PAYLOADS[:4]:
            page.fill("#where", f"kind = '{payload}' and")
            page.wait_for_selector("#where-error:visible")
            page.fill("#where", "")
            ask(page, payload)
        page.wait_for_selector(".hit")
        assert page.evaluate("window.ran") is None
        assert page.evaluate("({}).values") is None
        strange = (
            "img, svg, iframe, object, embed, video, math, style, base, details details,"
            " meta[http-equiv], link:not([href='/page/page.css'], [rel=icon]),"
            " script:not([src='/page/page.js']), form:not(#ask, #narrow, #token form)"
        )
        assert page.locator(strange).count() == 0
        assert page.evaluate("document.querySelectorAll('#query').length") == 1
        assert all(url.startswith((address, "data:image/svg")) for url in asked)
        hrefs = page.evaluate("[...document.querySelectorAll('a')].map(one => one.protocol)")
        assert set(hrefs) == {"http:"}
        page.close()


@pytest.mark.parametrize(
    "where", ["", "?q=jade", "?q=jade&map=1", "?q=jade&open=notes/tools/saw.py"]
)
def test_on_a_phone_nothing_sticks_out(tab: Tab, address: str, where: str) -> None:
    page = tab(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.goto(f"{address}/{where}")
    page.wait_for_selector(".legend li" if "map" in where else ".hit" if where else "#empty h2")
    if "open" in where:
        page.wait_for_selector("#reader:visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    out = """() => [...document.querySelectorAll('body *')].filter(one => one.checkVisibility()
        && one.getBoundingClientRect().right > 361).map(one => one.outerHTML.slice(0, 90))"""
    assert page.evaluate(out) == []


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgb = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (colour) => rgb(colour).slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (rgb(colour)[3] === 255) return colour;
        }
    };
    const names = ['.name', '.modes span', '#facets h2', '#facets small', '#status', '.hit h3 a',
        '.hit .path', '.hit .number', '.hit p.text', '.is-weak p.text', 'mark', '.keys',
        '#map-button'];
    return names.map((name) => {
        const one = document.querySelector(name);
        const both = [light(getComputedStyle(one).color), light(behind(one))];
        return [name, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_can_be_read(tab: Tab, address: str, scheme: str) -> None:
    """All text has the contrast of WCAG 2 AA, on a ground that is as the system is set."""
    page = tab(color_scheme=scheme)

    def weaken(route: Any) -> None:
        found = route.fetch().json()
        found["hits"][1]["weak"] = True
        route.fulfill(json=found)

    page.route("**/v1/search", weaken)
    page.goto(f"{address}/?q=jade")
    page.wait_for_selector(".hit")
    page.wait_for_selector("#facets h2")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    assert brightness > 230 if scheme == "light" else brightness < 40
    for name, contrast in page.evaluate(CONTRAST):
        assert contrast >= 4.5, name


def test_offsets_in_code_points_and_in_units(tab: Tab, address: str) -> None:
    """Of any text the same pieces as Python cuts."""
    page = tab()
    page.goto(address)
    generator = random.Random(1)
    for _ in range(20):
        text = "".join(generator.choices("ab \N{PARTY POPPER}\u0301\ufe0f\U00020000é", k=30))
        start = generator.randrange(5)
        spans = [sorted(generator.choices(range(31), k=2)) for _ in range(6)]
        moved = [[low + start, high + start] for low, high in spans]
        cut = page.evaluate(
            "async ([text, start, spans]) => (await import('/page/text.js'))"
            ".spansWithin(text, start, spans).map(([low, high]) => text.slice(low, high))",
            [text, start, moved],
        )
        assert cut == [text[low:high] for low, high in spans]

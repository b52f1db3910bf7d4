"""Take docs/images/page-*.webp of the page over the sample: python docs/make_screenshots.py

Needs Chromium, and Pillow to make the pictures small.
"""

import io
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from clsearch import Index
from clsearch.index.config import SAMPLE
from clsearch.search.serve.app import create_app
from clsearch.search.serve.settings import Settings

IMAGES = Path(__file__).resolve().with_name("images")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PORT = 7790
DESK = {"width": 1280, "height": 760}
PHONE = {"width": 390, "height": 760}
QUALITY = 82


@contextmanager
def served() -> Iterator[str]:
    """The address of a server of the sample."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.clsearch"
        shutil.copytree(SAMPLE / "documents", Path(folder) / "documents")
        os.chdir(folder)
        with Index.open(path) as index:
            index.sync(["documents"])
        app = create_app([path], Settings(port=PORT))
        server = uvicorn.Server(uvicorn.Config(app, port=PORT, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{PORT}"
        server.should_exit = True
        thread.join()


def take(page: Page, name: str) -> None:
    """Save what the page shows."""
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)
    path = IMAGES / f"page-{name}.webp"
    Image.open(io.BytesIO(page.screenshot())).save(path, quality=QUALITY, method=6)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Every picture."""
    found = next(filter(None, map(shutil.which, BROWSERS)))
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])

        def ask(address_of: str, viewport: dict[str, int], scheme: str) -> Page:
            page = browser.new_page(viewport=viewport, color_scheme=scheme)
            page.goto(f"{address}{address_of}")
            page.locator(".hit").first.wait_for(timeout=60_000)
            page.reload()  # the second time it is as fast as it stays
            page.locator(".hit").first.wait_for()
            return page

        take(ask("/?q=how+long+to+boil+breakfast+so+the+yolk+stays+runny", DESK, "light"), "light")
        page = ask("/?q=when+may+our+kitten+go+out+after+we+relocate", DESK, "dark")
        page.locator(".hit h3 a").first.click()
        page.locator("#reader mark").wait_for()
        take(page, "dark")
        page = ask("/?q=kitchen+scraps+bin+smells+terrible&map=1", DESK, "light")
        page.locator(".legend li").first.wait_for()
        page.locator("#map canvas").press("n")
        take(page, "map")
        take(
            ask("/?q=the+flat+is+freezing+and+the+burner+will+not+switch+on", PHONE, "light"),
            "phone",
        )
        browser.close()


if __name__ == "__main__":
    main()

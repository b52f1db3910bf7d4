"""What docs/server.md says can be typed can be typed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clsearch.index.index import Index
from clsearch.search.serve.settings import Limits
from serving import URL, serving
from words_encoder import WordsEncoder

PAGE = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
CURL = re.findall(r"^curl (?:.|\\\n)*?(?<!\\)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "notes.clsearch"
    with Index.open(path, encoder=WordsEncoder()) as index:
        index.add([{"id": "router.md", "text": "Hold the button to reset the router."}])
        index.add([{"id": "hours.md", "text": "Opening hours are nine to five."}])
    return path


class Scorer:
    bounded = True

    def scores(self, query: str, texts: list[str]) -> object:
        return WordsEncoder().encode_queries(texts)[:, 0] * 0 + 0.9


def curl(client: TestClient, command: str) -> tuple[int, str]:
    """What curl does, of what the page uses."""
    words = shlex.split(command.replace("\\\n", " ").replace("$'", "'"))
    method, headers, body, url = "GET", {}, None, ""
    options = iter(words[1:])
    for word in options:
        if word == "-X":
            method = next(options)
        elif word == "-H":
            name, value = next(options).split(": ")
            headers[name] = value
        elif word in ("-d", "--data-binary"):
            body = next(options)
            method = "POST" if method == "GET" else method
            if word == "--data-binary":
                body = body.replace("\\n", "\n")
        elif word != "-s":
            url = word
    assert url.startswith(URL)
    answer = client.request(method, url, headers=headers, content=body)
    return answer.status_code, answer.text


def test_every_command_is_answered(path: Path) -> None:
    assert len(CURL) >= 8
    with serving(path, WordsEncoder(), scorer=Scorer(), rerank="scorer") as client:
        for command in CURL:
            status, text = curl(client, command)
            assert status in (200, 201), f"{command}\n{text}"
            assert all("error" not in json.loads(line) for line in text.splitlines()), text


def test_the_metrics_are_those_of_the_page(path: Path) -> None:
    with serving(path, WordsEncoder()) as client:
        text = client.get("/metrics").text
    named = set(re.findall(r"^# TYPE (clsearch_\w+)", text, re.MULTILINE))
    named = {name for name in named if not name.endswith("_created")}
    listed = set(re.findall(r"`(clsearch_\w+)`", PAGE))
    listed |= {f"clsearch_index{rest}" for rest in re.findall(r"`…(_\w+)`", PAGE)}
    assert named == listed


def test_the_limits_are_those_of_the_page() -> None:
    limits = Limits()
    for value in (
        f"{limits.query_chars:,}",
        f"{limits.queries}",
        f"{limits.k:,}",
        f"{limits.inputs:,}",
        f"{limits.documents:,}",
        f"{limits.concurrency}",
        f"{limits.seconds:g} s",
        f"{limits.body >> 20} MiB",
        f"{limits.bulk_body >> 20} MiB",
    ):
        assert value in PAGE.partition("| limit | |")[2], value

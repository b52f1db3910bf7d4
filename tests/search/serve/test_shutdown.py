"""`clsearch serve`, as a process: it says where it is, and ends well when it is told to."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot

Start = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "notes.clsearch"
    with Index.open(path) as index:
        index.add([{"id": "jade", "text": "Jade is green."}, {"id": "iron", "text": "Iron rusts."}])
    return path


@pytest.fixture
def start(path: Path, tmp_path: Path) -> Iterator[Start]:
    """Options -> the process, and what it says with --json. None outlives the test."""
    started = []

    def start(*options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        argv = [sys.executable, "-m", "clsearch", "serve", "--index", str(path), "--port", "0"]
        process = subprocess.Popen(
            [*argv, "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")},
        )
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_it_answers_and_ends(start: Start, path: Path) -> None:
    process, said = start()
    url = said["url"]
    assert said == {"url": url, "indexes": {"notes": str(path)}, "token": None}
    hits = httpx.post(f"{url}/v1/search", json={"query": "green stone"}, timeout=60).json()["hits"]
    assert hits[0]["document"] == "jade"
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="embedded", input=["jade", "iron"])
    assert len(answer.data[1].embedding) == 384
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


EARLY = """
import asyncio, os, signal
from uvicorn.config import Config
from clsearch.shell import main

factory = Config.get_loop_factory

def early(self):
    def made():
        os.kill(os.getpid(), signal.SIGTERM)
        return (factory(self) or asyncio.new_event_loop)()

    return made

Config.get_loop_factory = early
main()
"""


def test_a_signal_that_comes_before_the_event_loop(path: Path, tmp_path: Path) -> None:
    """It says where it is before that, so whoever waits for it may end it."""
    argv = [sys.executable, "-c", EARLY, "serve", "--index", str(path), "--port", "0", "--json"]
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "url" in json.loads(ended.stdout)


def takes_connections(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=60).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_running_is_finished(start: Start, path: Path, number: signal.Signals) -> None:
    """A document whose second half comes after the signal is answered, and is in the index."""
    process, said = start()
    url = urlsplit(said["url"])
    body = json.dumps({"text": f"Basalt is dark. {number.name}"}).encode()
    head = (
        f"PUT /v1/documents/{number.name} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
        connection.sendall(head.encode() + body[:5])
        # Answered by another connection, so the first has been read.
        assert httpx.get(f"{said['url']}/healthz", timeout=60).json() == {"ok": True}
        process.send_signal(number)
        while takes_connections(said["url"]):
            pass
        assert process.poll() is None
        connection.sendall(body[5:])
        answer = connection.recv(65_536)
    _, err = process.communicate(timeout=60)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert (process.returncode, err) == (0, "")
    with Snapshot.open(path) as snapshot:
        assert snapshot.document(number.name) is not None


def test_a_token_is_made_and_asked_for(start: Start, tmp_path: Path) -> None:
    _, said = start("--token")
    file = Path(said["token"])
    assert file.is_relative_to(tmp_path / "config")
    assert file.stat().st_mode & 0o777 == 0o600
    url = f"{said['url']}/v1/indexes"
    assert httpx.get(url, timeout=60).status_code == 401
    headers = {"authorization": f"Bearer {file.read_text().strip()}"}
    assert httpx.get(url, headers=headers, timeout=60).status_code == 200


def refused(*argv: str, cwd: Path) -> str:
    """What a command that fails says."""
    done = subprocess.run(
        [sys.executable, "-m", "clsearch", "serve", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_cannot_be_started_says_why(path: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused("--index", str(path), "--port", port, cwd=tmp_path)
        assert port in said
        assert "--port" in said
    assert "clsearch index" in refused("--index", "nowhere", cwd=tmp_path)
    both = ("--index", str(path), "--no-token", "--token")
    assert "not both" in refused(*both, cwd=tmp_path)

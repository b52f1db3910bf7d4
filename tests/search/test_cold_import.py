"""A lexical search starts fast: it imports no model, no vectors, nothing of the write side."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clsearch.index.index import Index

HEAVY = {
    "faiss",
    "pytrec_eval",
    "safetensors",
    "scipy",
    "sqlite_utils",
    "tokenizers",
    "torch",
    "transformers",
}
LEXICAL = """
import clsearch.search
[hit] = clsearch.search.Searcher.open(sys.argv[1]).search("jade", mode="lexical")
assert hit.document == "a"
"""


SPACED = """
import clsearch.search
answer = clsearch.search.Searcher.open(sys.argv[1]).answer("jade", mode="lexical", group="document")
assert answer.hits[0].document == "a"
assert "regex" not in sys.modules
"""


@pytest.mark.parametrize("code", ["import clsearch.search", LEXICAL, SPACED])
def test_no_heavy_package(make_index: Callable[..., Path], code: str) -> None:
    """In a process of its own."""
    path = make_index(
        {
            "a": "jade \u2014 the \u201cgreen\u201d stone\u2019s \u00e9t\u00e9 \u2264 \u03b1",
            "b": "iron",
        }
    )
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=path.parent,
    )
    loaded = {name.split(".")[0] for name in json.loads(run.stdout)}
    assert "clsearch" in loaded
    assert loaded.isdisjoint(HEAVY)
    writers = {"index", "sync", "merge", "readers"}
    assert {f"clsearch.index.{name}" for name in writers}.isdisjoint(json.loads(run.stdout))


HYBRID = """
import runpy
sys.argv = ["clsearch", "search", "green", "stone", "--index", sys.argv[1], *sys.argv[2:]]
try:
    runpy.run_module("clsearch.cli", run_name="clsearch.cli")["cli"](prog_name="clsearch")
except SystemExit as end:
    assert not end.code, end.code
"""
# Beside the models' packages: what serves, what fetches, and what only writing needs.
NOT_FOR_A_QUERY = {
    "aiohttp",
    "asyncio",
    "fastapi",
    "flask",
    "http",
    "huggingface_hub",
    "onnxruntime",
    "pytrec_eval",
    "safetensors",
    "scipy",
    "socketserver",
    "sqlite_utils",
    "starlette",
    "threadpoolctl",
    "torch",
    "transformers",
    "uvicorn",
}


@pytest.mark.parametrize("options", [[], ["--explain"], ["--json"], ["--mode", "dense"]])
def test_a_query_of_the_command_line(tmp_path: Path, options: list[str]) -> None:
    """With the embedded model, on its own index: by vectors, by words, and with snippets."""
    with Index.open(tmp_path / "index") as index:
        index.add([{"id": "a", "text": "Jade is green. It is hard. Iron rusts."}])
    script = f"import json, sys\n{HYBRID}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "index"), *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    said, loaded = run.stdout[: run.stdout.rindex("[")], json.loads(run.stdout.splitlines()[-1])
    assert "Jade is green." in said
    names = {name.split(".")[0] for name in loaded}
    assert {"clsearch", "numpy", "tokenizers"} <= names
    assert names.isdisjoint(NOT_FOR_A_QUERY)


def test_status_imports_neither_numpy_nor_faiss(tmp_path: Path) -> None:
    """What is in an index, and what made it, is in its database."""
    with Index.open(tmp_path / "index") as index:
        index.add([{"id": "a", "text": "Jade is green."}])
    script = f"import json, sys\n{HYBRID}\nprint(json.dumps(sorted(sys.modules)))"
    script = script.replace('"search", "green", "stone"', '"status"')
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "index")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "queries      encoded by kernels" in run.stdout
    names = {name.split(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}
    assert names.isdisjoint({*NOT_FOR_A_QUERY, "faiss", "numpy", "tokenizers"})


def test_the_command_ends_at_once_and_says_all(tmp_path: Path) -> None:
    """What was printed reaches a pipe, whole, and the exit code is the answer's."""
    path = tmp_path / "index"
    with Index.open(path) as index:
        index.add({"id": f"{n}", "text": f"Jade number {n}. " * 20} for n in range(200))

    def clsearch(*argv: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "-m", "clsearch", "search", *argv, "--index", str(path))
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)

    lexical = ("--mode", "lexical", "--json")
    found = clsearch("jade", "-k", "200", *lexical)
    assert (found.returncode, found.stderr) == (0, "")
    assert len(found.stdout) > 100_000
    assert json.loads(found.stdout)["hits"]
    assert clsearch("nowhere", *lexical).returncode == 1
    assert clsearch("jade", "-k", "0").returncode == 2

"""A lexical search starts fast: it imports no model, no vectors, nothing of the write side."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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


ENGLISH = """
import clsearch.search
answer = clsearch.search.Searcher.open(sys.argv[1]).answer("jade", mode="lexical", group="document")
assert answer.hits[0].document == "a"
assert "regex" not in sys.modules
"""


@pytest.mark.parametrize("code", ["import clsearch.search", LEXICAL, ENGLISH])
def test_no_heavy_package(make_index: Callable[..., Path], code: str) -> None:
    """In a process of its own."""
    path = make_index(
        {"a": "jade \u2014 the \u201cgreen\u201d stone\u2019s name\u2026", "b": "iron"}
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

"""What is imported when, and that what is imported is declared."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import clsearch

TREE = Path(__file__).parent.parent
PACKAGE = Path(clsearch.__file__).parent
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]

# Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "Stemmer": "pystemmer",
    "faiss": "faiss-cpu",
    "markdown_it": "markdown-it-py",
    "pytrec_eval": "pytrec-eval-terrier",
    "yaml": "pyyaml",
}
TOOLS = ("test", "bench", "distil")  # extras of those who work on it
SLOW = ("torch", "transformers", "sentence_transformers")


def modules_after(code: str, *argv: str, cwd: Path) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded once `code` has run."""
    tail = "\nimport sys; print('\\n' + ' '.join(sorted(n for n in sys.modules if '.' not in n)))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *argv],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


COMMAND = """
import sys
from clsearch.cli import cli
try:
    cli(sys.argv[1:], prog_name="clsearch")
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize("code", ["import clsearch", "import clsearch.cli"])
def test_importing_loads_nothing_heavy(code: str, tmp_path: Path) -> None:
    """Neither the models' packages nor NumPy, FAISS or sqlite-utils."""
    loaded = modules_after(code, cwd=tmp_path)
    assert not loaded & {*SLOW, "faiss", "numpy", "sqlite_utils", "tokenizers"}


def test_the_packages_names_load_next_to_nothing(tmp_path: Path) -> None:
    """No typing, which takes longer than all else; what a name needs comes with its first use."""
    code = "import clsearch, clsearch.index, clsearch.search"
    loaded = modules_after(code, cwd=tmp_path) - modules_after("", cwd=tmp_path)
    assert loaded == {"clsearch"}


@pytest.mark.parametrize("argv", [["--help"], ["index", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(argv: list[str], tmp_path: Path) -> None:
    """As above: help is there in a blink."""
    loaded = modules_after(COMMAND, *argv, cwd=tmp_path)
    assert not loaded & {*SLOW, "faiss", "numpy", "sqlite_utils", "tokenizers"}


def test_the_package_is_not_shadowed_by_the_tree() -> None:
    """What the tests import is the installed package; only an editable install is the tree."""
    origin = importlib.metadata.distribution("clsearch").read_text("direct_url.json")
    editable = json.loads(origin or "{}").get("dir_info", {}).get("editable", False)
    assert (PACKAGE.resolve() == TREE.resolve()) == editable


def third_party() -> dict[str, str]:
    """Distribution name -> a file that imports it, for the package's own code."""
    files = [*PACKAGE.glob("*.py"), *PACKAGE.glob("index/**/*.py"), *PACKAGE.glob("search/**/*.py")]
    found = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in (name.split(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name != "clsearch":
                    found[canonicalize_name(DISTRIBUTIONS.get(name, name))] = str(path)
    return found


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    """By pyproject.toml; an extra may bring what a package that is imported needs in turn."""
    extras = PROJECT["optional-dependencies"]
    in_turn = {"pydantic", "starlette", "triton"}  # FastAPI's own names, and torch's own compiler
    program = [line for name in extras if name not in TOOLS for line in extras[name]]
    required = PROJECT["dependencies"] + extras["parquet"]
    named = set(third_party())
    assert named - in_turn <= {
        canonicalize_name(Requirement(line).name) for line in required + program
    }
    assert named >= {canonicalize_name(Requirement(line).name) for line in required}


def test_the_tested_set_lies_in_the_declared_ranges() -> None:
    """constraints.txt pins each dependency, at a version that pyproject.toml allows."""
    lines = (TREE / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if re.match(r"[a-z]", line))
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        wanted = Requirement(line)
        if wanted.name == "clsearch":  # its own extras
            continue
        assert pins[canonicalize_name(wanted.name)] in wanted.specifier, line

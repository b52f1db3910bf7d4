"""What is built is what people get: the wheel's content, and the command run far from the tree."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
FOLDERS = ("index", "search", "integrations")
WEIGHTS = TREE / "data" / "model" / "model.safetensors"
# What is built for another kind of CPU, by the name of this one.
OTHERS = {
    "x86_64": ("bert_neon",),
    "aarch64": ("bert_avx512", "bert_avx2"),
    "arm64": ("bert_avx512", "bert_avx2"),
}


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The finished command; a failure shows what it said."""
    keep = {name: value for name, value in os.environ.items() if name != "CLSEARCH_INDEX"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=keep | {"PIP_NO_INDEX": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source distribution, and the wheel that is built from it alone."""
    copy = tmp_path_factory.mktemp("tree") / "clsearch-tree"
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "build", "dist", "*.egg-info", "clsearch-demo"
    )
    shutil.copytree(TREE, copy, ignore=ignored)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "-o", out, copy, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    """The wheel, open."""
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def site(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed alone into a folder of its own, its dependencies left where they are."""
    (path,) = built.glob("*.whl")
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index")
    run(*pip, "--target", folder, path, cwd=folder)
    return folder


def test_the_wheel_puts_one_name_on_the_path(wheel: zipfile.ZipFile) -> None:
    """`clsearch`, and the metadata folder; no `tests`, `index`, `search` or `data` beside it."""
    names = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"clsearch"}


def test_the_wheel_holds_every_module_and_no_other_python_file(wheel: zipfile.ZipFile) -> None:
    """A sub-package that pyproject.toml forgets to list is missing here."""
    python = [*TREE.glob("*.py")]
    for folder in FOLDERS:
        python += TREE.glob(f"{folder}/**/*.py")
    expected = {f"clsearch/{path.relative_to(TREE).as_posix()}" for path in python}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == expected


def test_the_wheel_holds_the_data_that_the_program_reads(wheel: zipfile.ZipFile) -> None:
    """The type marker, the whole sample and the whole model, but not the scripts that made it."""
    scripts = set(TREE.glob("data/model/*.py"))
    files = {path for path in TREE.glob("data/**/*") if path.is_file()} - scripts
    kept = {path for path in files if "__pycache__" not in path.parts}
    expected = {f"clsearch/{path.relative_to(TREE).as_posix()}" for path in kept}
    packed = {name for name in wheel.namelist() if name.startswith("clsearch/data/")}
    assert packed == expected
    assert "clsearch/py.typed" in wheel.namelist()


def test_the_wheel_holds_the_page(wheel: zipfile.ZipFile) -> None:
    """Every file that the server sends to browsers."""
    page = TREE / "search" / "serve" / "page"
    expected = {f"clsearch/search/serve/page/{path.name}" for path in page.iterdir()}
    packed = {name for name in wheel.namelist() if name.startswith("clsearch/search/serve/page/")}
    assert packed == expected
    assert "clsearch/search/serve/page/index.html" in packed


@pytest.mark.skipif(
    platform.machine() not in OTHERS or shutil.which("cc") is None,
    reason="the kernels are for x86 and 64-bit Arm, and need a compiler",
)
def test_the_wheel_holds_what_is_compiled(wheel: zipfile.ZipFile) -> None:
    """All that is for this CPU, for where one fails the others are built; no file of C."""
    described = tomllib.loads((TREE / "pyproject.toml").read_text())["tool"]["setuptools"]
    modules = {module["name"].replace(".", "/") for module in described["ext-modules"]}
    others = {f"clsearch/index/encoder/{name}" for name in OTHERS[platform.machine()]}
    assert others < modules
    built = {name.split(".")[0] for name in wheel.namelist() if name.endswith(".so")}
    assert built == modules - others
    assert not any(name.endswith(".c") for name in wheel.namelist())


def test_every_package_of_the_tree_is_listed() -> None:
    """pyproject.toml names each folder with an __init__.py."""
    listed = tomllib.loads((TREE / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    inits = [init for folder in FOLDERS for init in TREE.glob(f"{folder}/**/__init__.py")]
    found = {".".join(("clsearch", *path.parent.relative_to(TREE).parts)) for path in inits}
    assert set(listed) == found | {"clsearch"}


def test_the_licence_and_the_readme_travel(wheel: zipfile.ZipFile) -> None:
    """The metadata names the licence and holds the README."""
    (metadata,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    assert "License-Expression: Apache-2.0" in text
    assert "# clsearch" in text
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_installed_command_works_in_a_foreign_folder(site: Path, tmp_path: Path) -> None:
    """`clsearch` and `python -m clsearch` help, index and search where there is no tree."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "tide.md").write_text("# Tides\n\nThe Moon pulls the sea twice a day.\n")
    (notes / "bread.md").write_text("# Bread\n\nFlour, water, salt, and a night in the fridge.\n")
    module = (sys.executable, "-m", "clsearch")
    where = "import clsearch; print(clsearch.__file__)"
    found = run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(site)).stdout.strip()
    assert Path(found).is_relative_to(site)

    for command in (module, (site / "bin" / "clsearch",)):
        assert (
            "Usage: clsearch" in run(*command, "--help", cwd=tmp_path, PYTHONPATH=str(site)).stdout
        )
    run(*module, "index", "notes", cwd=tmp_path, PYTHONPATH=str(site))
    asked = ("search", "--json", "-k", "1", "--mode", "dense", "why does the ocean rise")
    said = run(site / "bin" / "clsearch", *asked, cwd=tmp_path, PYTHONPATH=str(site)).stdout
    (hit,) = json.loads(said)["hits"]
    assert hit["document"] == "notes/tide.md"

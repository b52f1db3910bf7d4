"""Imports point one way: the layers of docs/architecture.md, held by reading the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import clsearch

ROOT = Path(clsearch.__file__).parent

# Lowest first. What stands in one row does not know its neighbours.
ROWS = (
    {
        "index.compiled",
        "index.config",
        "index.errors",
        "index.memory",
        "index.once",
        "index.types",
        "runtime",
    },
    {"index.files", "index.analysis", "index.report"},
    {
        "index.destination",
        "index.encoder",
        "index.passages",
        "index.readers",
        "index.sources",
        "index.store",
        "index.vectors",
    },
    {
        "index.batch",
        "search.hit",
        "search.kept",
        "search.likeness",
        "search.query",
        "search.times",
    },
    {
        "index.calibration",
        "index.check",
        "index.exchange",
        "index.merge",
        "index.reencode",
        "index.sync",
        "search.dense",
        "search.filters",
        "search.fusion",
        "search.lexical",
        "search.scale",
    },
    {"search.commit"},
    {"search.ranking"},
    {"search.grouping", "search.snippets"},
    {"search.hits"},
    {"search.rerank"},
    {"index.backup", "index.repair"},
    {"index.index"},
    {"search.searcher", "terminal"},
    {"search.asynchronous"},
    {"search.evaluate", "search.serve", "integrations", "daemon"},
    {"printing"},
    {"crew", "options"},
    {"evaluation", "operations", "service"},
    {"cli"},
    {"background", "shell"},
    {"__main__"},
)
LEVEL = {part: level for level, row in enumerate(ROWS) for part in row}
# The packages' own names: what they offer to those outside, and nothing else.
FRONTS = {"", "index", "search"}
HEAVY = {"faiss", "sentence_transformers", "sqlite_utils", "tokenizers", "torch", "transformers"}


def source_files() -> dict[str, Path]:
    """Every module below clsearch by its dotted name; a package by its folder's."""
    files = [*ROOT.glob("*.py"), *ROOT.glob("index/**/*.py"), *ROOT.glob("search/**/*.py")]
    files += ROOT.glob("integrations/**/*.py")
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        .removesuffix("__init__")
        .removesuffix("."): path
        for path in files
    }


FILES = source_files()


def part_of(module: str) -> str:
    """`index.store.snapshot` -> `index.store`: the name of the layer diagram that it belongs to."""
    if module in FRONTS:
        return module
    parts = [part for part in LEVEL if module == part or module.startswith(f"{part}.")]
    assert parts, f"{module} stands in no layer: add it to ROWS, and to docs/architecture.md"
    return parts[0]


def imports(module: str, node: ast.AST) -> Iterator[str]:
    """The modules of clsearch that one import statement names, as dotted names below clsearch."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == "clsearch":
                yield alias.name.removeprefix("clsearch").removeprefix(".")
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module.split(".") if module else []
            up = node.level - (FILES[module].name == "__init__.py")
            package = package[: len(package) - up]
            base = ".".join([*package, *filter(None, [node.module])])
        elif base.split(".")[0] == "clsearch":
            base = base.removeprefix("clsearch").removeprefix(".")
        else:
            return
        for alias in node.names:
            inner = f"{base}.{alias.name}" if base else alias.name
            yield inner if inner in FILES else base


def read_edges() -> Iterator[tuple[str, str, int]]:
    """(module, imported module, line) for every import inside clsearch, nested ones too."""
    for module, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for imported in imports(module, node):
                yield module, imported, getattr(node, "lineno", 0)


EDGES = tuple(read_edges())


def test_the_walk_sees_the_package() -> None:
    """Else every other test here could pass by looking at nothing."""
    assert {"", "cli", "index.errors", "index.store", "search"} <= FILES.keys()
    assert ("cli", "index.errors") in {(module, imported) for module, imported, _ in EDGES}


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_imports_only_from_rows_below(module: str) -> None:
    """A row imports rows below it; `index` never imports `search`, nor a search what writes."""
    for importer, imported, line in EDGES:
        if importer != module:
            continue
        where = f"{importer}, line {line}, imports {imported or 'clsearch'}"
        here, there = part_of(importer), part_of(imported)
        if here == there:
            continue
        if here in FRONTS:
            assert imported.startswith(here), where
            continue
        if there in FRONTS:
            # Below the command line, a front would hide which part is meant. `__version__` is free.
            assert there == "" or LEVEL[here] >= LEVEL["cli"], where
            continue
        assert LEVEL[there] < LEVEL[here], f"{where}: not a row below"
        if here.startswith("index."):
            assert not there.startswith("search."), where
        if LEVEL[here] <= LEVEL["search.searcher"] and there.startswith("index."):
            read = not here.startswith("search.") or LEVEL[there] <= LEVEL["index.store"]
            assert read, f"{where}: a search knows nothing of the write side"


@pytest.mark.parametrize("module", sorted(FILES))
def test_heavy_packages_are_imported_inside_the_backends(module: str) -> None:
    """Only encoder, vectors and store know them at all; the rest starts fast."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] in HEAVY:
                allowed = ("index.encoder", "index.vectors", "index.store")
                assert module.startswith(allowed), f"{module} imports {name}"

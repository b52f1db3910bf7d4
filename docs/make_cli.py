"""Write docs/cli.md from the commands themselves: python docs/make_cli.py"""

import json
from inspect import cleandoc
from pathlib import Path

import click

from clsearch.cli import cli

PAGE = Path(__file__).with_name("cli.md")

HEAD = """\
# Command line

This page is made from the commands by `docs/make_cli.py`, and a test holds it to them.

**The index** is `--index PATH`, else `$CLSEARCH_INDEX`, else the nearest `.clsearch/` at or above
the working folder. `clsearch index` makes `.clsearch/` in the working folder where there is none.

**Exit codes:** 0 found or done; 1 nothing found, or below a bound of `eval --fail-under`; 2 wrong
use or failure, said on stderr with what to do next; 130 interrupted.

**`--json`** prints exactly one JSON object on stdout and nothing else. Progress bars go to stderr,
and only to a terminal. Colours go to terminals only, and `NO_COLOR` turns them off.
"""

HIT = {
    "rank": 1,
    "score": 0.71,
    "weak": False,
    "document": "notes/a.md",
    "title": "…",
    "passage": {
        "id": 17,
        "start": 120,
        "end": 480,
        "line": 4,
        "page": None,
        "heading": "…",
        "text": "…",
    },
    "sentence": {"start": 140, "end": 230, "text": "…"},
    "marks": [[144, 149]],
    "scores": {"dense": 0.63, "lexical": 7.1},
    "metadata": {},
    "duplicates": ["notes/copy of a.md"],
}
REPORT = {
    "index": ".clsearch",
    "added": 3,
    "updated": 0,
    "removed": 0,
    "unchanged": 12,
    "encoded": 40,
    "reused": 0,
    "ignored": 1,
    "skipped": [{"name": "notes/pipe", "reason": "it is a named pipe"}],
    "recovered": [],
    "seconds": 1.234,
}

COPY = {"generation": 4, "documents": 15, "passages": 61, "segments": 2, "bytes": 412345}

# The object that each command prints with --json. Tests compare its keys with those of real output.
JSON: dict[str, object] = {
    "index": REPORT,
    "search": {"query": "…", "mode": "hybrid", "took_ms": 12.3, "hits": [HIT]},
    "similar": {"document": "notes/b.md", "took_ms": 3.4, "hits": [HIT]},
    "status": {
        "index": "/home/ada/.clsearch",
        "documents": 15,
        "passages": 61,
        "sources": 15,
        "model": "embedded",
        "pooling": ["cls"],
        "dimension": 384,
        "prompts": {"query": "", "document": ""},
        "queries": "numpy",
        "engines": ["native, int8"],
        "fingerprint": "…",
        "generation": 4,
        "segments": 2,
        "waiting": 0,
        "tombstones": 0,
        "bytes": 412345,
        "journal": "wal",
        "background": 4711,
    },
    "remove": {"removed": 1},
    "optimize": {
        "segments_before": 2,
        "tombstones_before": 5,
        "bytes_before": 412345,
        "segments": 1,
        "tombstones": 0,
        "bytes": 398765,
        "kind": "exact",
        "recall": None,
    },
    "check": {"index": ".clsearch", "problems": [], "repaired": []},
    "eval": {
        "collection": "scifact",
        "split": "test",
        "mode": "hybrid",
        "queries": 300,
        "documents": 5183,
        "metrics": {"nDCG@10": 0.7, "Recall@100": 0.9, "MRR@10": 0.7, "MAP@100": 0.7},
    },
    "embed": {"model": "embedded", "fingerprint": "…", "dimension": 384, "vectors": [[0.0123]]},
    "demo": {
        "index": "clsearch-demo/.clsearch",
        "questions": [{"query": "…", "hits": [HIT]}],
    },
    "serve": {
        "url": "http://127.0.0.1:7700",
        "indexes": {"notes": "/home/ada/notes/.clsearch"},
        "token": None,
    },
    "mcp": {
        "mcpServers": {
            "clsearch": {
                "command": "/home/ada/.local/bin/clsearch",
                "args": ["mcp", "--index", "/home/ada/notes/.clsearch"],
            }
        }
    },
    "backup": {"index": ".clsearch", "backup": "notes.backup", **COPY, "seconds": 1.234},
    "export": {
        "index": ".clsearch",
        "export": "notes.parquet",
        "format": "parquet",
        "documents": 15,
        "passages": 61,
        "bytes": 212345,
        "seconds": 1.234,
    },
    "import": REPORT,
    "completion": {"shell": "bash", "script": "…"},
    "restore": {"backup": "notes.backup", "index": ".clsearch", **COPY, "seconds": 1.234},
}

# The `eval --json` of more than one row, or of a run file, with --per-query.
ROW = {
    "name": "hybrid",
    "mode": "hybrid",
    "model": None,
    "pooling": None,
    "rerank": None,
    "run": None,
    "metrics": {"nDCG@10": 0.7},
    "versus_first": {},
}
DIFFERENCE = {"difference": -0.02, "p": 0.0123, "p_holm": 0.0246}
ROWS: dict[str, object] = {
    "collection": "scifact",
    "split": "test",
    "queries": 300,
    "documents": 5183,
    "rows": [
        ROW,
        {**ROW, "name": "dense", "mode": "dense", "versus_first": {"nDCG@10": DIFFERENCE}},
    ],
    "per_query": [{"id": "1", "query": "…", "metrics": [{"nDCG@10": 1.0}, {"nDCG@10": 0.5}]}],
}
ALSO: dict[str, tuple[str, object]] = {
    "optimize": (
        """\
`kind` is `exact`, `compact` or `fast`; `recall` is recall@10 on questions made of its
passages, where a compact or fast one was tuned.""",
        None,
    ),
    "check": (
        "With `--recall`, there is also `recall`; `advice` is empty where nothing need be done:",
        {"recall": {"mean": 0.985, "error": 0.003, "queries": 200, "advice": ""}},
    ),
    "mcp": (
        "With `--http`, it is `type`, `url` and, where a token is asked for, `headers`:",
        {"mcpServers": {"clsearch": {"type": "http", "url": "http://127.0.0.1:7701/mcp"}}},
    ),
    "serve": (
        "It is printed when the server takes connections. `token` is the file that has the token.",
        None,
    ),
    "search": (
        """\
Where hits are grouped by document, a hit with further passages has `more`: hits of its document.
With `--rerank`, `scores` has `rerank`. `score` lies between 0 and 1; 1/2 is where unrelated text
ends in this index; below that a hit is `weak`. With `--explain`, the object and each hit have an
`explanation`, whose keys depend on what was done.""",
        None,
    ),
    "eval": (
        """\
Several settings, or run files, are rows; what does not apply is null. `versus_first` compares with
the first row: the difference of the means, p of the paired test, and p with Holm's correction for
the number of rows. `split` is null but for a folder, `documents` where nothing was asked. Only with
`--per-query`, also of one setting alone, there is `per_query`: each query, its metrics by row.""",
        ROWS,
    ),
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, command in cli.commands.items():
        parts.append(section(name, command))
    return "\n".join(parts)


def section(name: str, command: click.Command) -> str:
    """One command: usage, what it does, options, JSON."""
    context = click.Context(command, info_name=f"clsearch {name}")
    usage = " ".join([f"clsearch {name}", *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", "```", usage, "```", "", cleandoc(command.help or ""), ""]
    lines += ["| option | meaning |", "|---|---|"]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            lines.append(option_row(parameter))
    if name in JSON:
        example = json.dumps(JSON[name], ensure_ascii=False, indent=2)
        lines += ["", "With `--json`:", "", "```json", example, "```"]
    if name in ALSO:
        said, value = ALSO[name]
        example = json.dumps(value, ensure_ascii=False, indent=2)
        lines += ["", said, *(["", "```json", example, "```"] if value else [])]
    return "\n".join(lines) + "\n"


def option_row(option: click.Option) -> str:
    """`| --mode hybrid, dense, lexical | meaning; default |`."""
    names = ", ".join(option.opts) + "".join(f" / {name}" for name in option.secondary_opts)
    if isinstance(option.type, click.Choice):
        names += " " + "|".join(option.type.choices)
    elif not option.is_flag:
        names += f" {option.metavar or option.name.upper()}"
    escaped = names.replace("|", r"\|")
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    default = f" Default: {shown}." if option.show_default else ""
    return f"| `{escaped}` | {option.help}{default} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

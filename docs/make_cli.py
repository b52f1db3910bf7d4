"""Write docs/cli.md from the commands themselves: python docs/make_cli.py"""

import json
from pathlib import Path

import click
from clsearch.cli import cli

PAGE = Path(__file__).with_name("cli.md")

HEAD = """\
# Command line

This page is made from the commands by `docs/make_cli.py`, and a test holds it to them.

**The index** is `--index PATH`, else `$CLSEARCH_INDEX`, else the nearest `.clsearch/` at or above
the working folder. `clsearch index` makes `.clsearch/` in the working folder where there is none.

**Exit codes:** 0 found or done; 1 nothing found; 2 wrong use or failure, said on stderr with what
to do next; 130 interrupted.

**`--json`** prints exactly one JSON object on stdout and nothing else. Progress bars go to stderr,
and only to a terminal. Colours go to terminals only, and `NO_COLOR` turns them off.
"""

# An object of each command's --json. Tests compare its keys with those of real output.
JSON: dict[str, object] = {}


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
    lines = [f"## clsearch {name}", "", f"    {usage}", "", *(command.help or "").splitlines(), ""]
    lines += ["| option | meaning |", "|---|---|"]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            lines.append(option_row(parameter))
    if name in JSON:
        lines += ["", "```json", json.dumps(JSON[name], ensure_ascii=False, indent=1), "```"]
    return "\n".join(lines) + "\n"


def option_row(option: click.Option) -> str:
    """`| --mode hybrid, dense, lexical | meaning; default |`."""
    names = ", ".join(option.opts) + "".join(f" / {name}" for name in option.secondary_opts)
    if isinstance(option.type, click.Choice):
        names += " " + "|".join(option.type.choices)
    elif not option.is_flag:
        names += f" {option.metavar or option.name.upper()}"
    escaped = names.replace("|", r"\|")
    default = f" Default: {option.default}." if option.show_default else ""
    return f"| `{escaped}` | {option.help}{default} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

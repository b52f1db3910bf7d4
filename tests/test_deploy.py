"""The units and the container of docs/deploy.md, and its commands, start what there is."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from clsearch.cli import cli

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "deploy.md").read_text(encoding="utf-8")
UNITS = dict(re.findall(r"^`(\S+)`:\n\n```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
PROGRAM = re.compile(r"\S*/clsearch (?!-)")  # and not a folder of that name


def parse(arguments: list[str]) -> None:
    """Refuse what the command line refuses."""
    name, *rest = arguments
    command = cli.commands[name]
    command.make_context(f"clsearch {name}", rest, parent=click.Context(cli))


def commands(unit: str) -> list[str]:
    """What a unit runs."""
    return re.findall(r"^Exec\w+=(.*)$", unit, re.MULTILINE)


def test_there_are_units() -> None:
    """Else the tests below could pass by looking at nothing."""
    assert {Path(name).suffix for name in UNITS} == {".service", ".timer"}
    assert sum(" serve " in command for unit in UNITS.values() for command in commands(unit)) == 2


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_starts_a_command_that_there_is(name: str) -> None:
    started = [command for command in commands(UNITS[name]) if PROGRAM.search(command)]
    assert started
    for command in started:
        words = shlex.split(command)
        if words[0] == "/bin/sh":
            words = shlex.split(words[2].removeprefix("exec "))
        assert words[0].endswith("/bin/clsearch")
        parse(words[1:])


@pytest.mark.parametrize(("page", "count"), [("deploy.md", 5), ("operations.md", 10)])
def test_every_command_of_a_page_parses(page: str, count: int) -> None:
    """Of its shell examples."""
    text = (DOCS / page).read_text(encoding="utf-8")
    shell = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    found = 0
    for line in lines:
        match = re.search(r"(?:^|bin/)clsearch (.*)", line)
        if match:
            found += 1
            parse(shlex.split(match[1].partition(" > ")[0], comments=True))
    assert found == count


def test_the_machine_s_unit_is_closed() -> None:
    """What would be open, is closed by these; `systemd-analyze security` weighs them."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNITS["/etc/systemd/system/clsearch.service"])
    service = unit["Service"]
    assert service["User"] == "clsearch"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == service["ProtectHome"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == ("any", "localhost")
    assert service["UMask"] == "0077"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("name", sorted(UNITS))
def test_systemd_takes_a_unit(name: str, tmp_path: Path) -> None:
    """With a program where it says that one is."""
    program = tmp_path / "clsearch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    folder = tmp_path / "units"
    folder.mkdir()
    for other, text in UNITS.items():
        if Path(other).parent == Path(name).parent:
            written = re.sub(r"[^\s=]+/bin/clsearch", str(program), text)
            (folder / Path(other).name).write_text(written)
    scope = ["--user"] if "/user/" in name else []
    command = ["systemd-analyze", *scope, "--man=no", "verify", str(folder / Path(name).name)]
    ran = subprocess.run(
        command,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = [line for line in ran.stderr.splitlines() if str(folder) in line]
    assert ran.returncode == 0, ran.stderr
    assert complaints == []


def test_the_container_starts_a_command_that_there_is() -> None:
    lines = (DOCS / "Containerfile").read_text(encoding="utf-8").splitlines()
    started = [line.partition(" ")[2] for line in lines if line.startswith(("ENTRYPOINT", "CMD"))]
    entry, arguments = (re.findall(r'"([^"]*)"', line) for line in started)
    assert entry == ["clsearch"]
    parse(arguments)

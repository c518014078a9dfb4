"""The pages of the commands, made from the `vae` program itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from vaekit.cli import app

BAR = r"\|"  # in a cell of a table
FOLDER = "reference/commands"
MARK = "<!-- renewed by: python -m tests.cli.test_cli_help -->\n"


def commands() -> dict[str, Any]:
    """Every command by its name without `vae`, those of groups included; the program itself is ''."""
    program: Any = typer.main.get_command(app)
    return dict(_below("", program))


def pages() -> dict[str, str]:
    """One page per command, and their index."""
    found = commands()
    made = {f"{FOLDER}/{slug(name)}.md": _page(name, command, found) for name, command in found.items() if name}
    lines = [f"- [`vae {name}`]({slug(name)}.md): {_sentence(command)}" for name, command in found.items() if name]
    names = "\n".join(slug(name) for name in found if name)
    made[f"{FOLDER}/index.md"] = (
        f"# Every command\n\n{_sentence(found[''])} [Command line](../cli.md) has the exit codes.\n\n"
        + "\n".join(lines)
        + f"\n\n## Options of vae itself\n\n{_options(found[''])}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    )
    return made


def without_tables(text: str) -> str:
    """The page of the command line with links in place of the tables of options."""
    kept = text.split(MARK)[0]
    lines = [
        f"### `vae {name}`\n\n{_sentence(command)} [Options and examples](commands/{slug(name)}.md)\n"
        for name, command in commands().items()
        if name and hasattr(command, "params")
    ]
    return kept + "\n".join(lines)


def slug(name: str) -> str:
    """The name of a command's page."""
    return name.replace(" ", "-")


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        if not getattr(inner, "hidden", False):
            yield from _below(f"{name} {word}".strip(), inner)


def _sentence(command: Any) -> str:
    return _escaped(" ".join((command.help or "").split()))


def _page(name: str, command: Any, found: dict[str, Any]) -> str:
    parts = [f"# vae {name}", _sentence(command), f"```text\n{_usage(name, command)}\n```"]
    inner = [other for other in found if other.startswith(f"{name} ")]
    if inner:
        lines = [f"- [`vae {other}`]({slug(other)}.md): {_sentence(found[other])}" for other in inner]
        parts += ["## Commands", "\n".join(lines)]
    note, examples = _epilog(command)
    if examples:
        parts += ["## Examples", note, "```sh\n" + "\n".join(examples) + "\n```"]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if arguments:
        rows = "\n".join(f"| `{_shown(p).replace('|', BAR)}` | {_escaped(p.help or '')} |" for p in arguments)
        parts += ["## Arguments", f"| argument | meaning |\n|---|---|\n{rows}"]
    options = _options(command)
    if options:
        parts += ["## Options", options]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usage(name: str, command: Any) -> str:
    arguments = [
        _shown(p) if p.required else f"[{_shown(p)}]" for p in command.params if p.param_type_name == "argument"
    ]
    tail = ["COMMAND"] if getattr(command, "commands", None) else []
    return " ".join(["vae", name, "[OPTIONS]", *arguments, *tail])


def _shown(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _epilog(command: Any) -> tuple[str, list[str]]:
    """The note and the examples at the end of a command's help."""
    text = command.epilog or ""
    examples = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return _escaped(text.split("Examples:")[0].strip()), examples


def _options(command: Any) -> str:
    """The options of a command, one table for each panel of its help."""
    options = [p for p in command.params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    panels = list(dict.fromkeys(option.rich_help_panel or "Options" for option in options))
    ordered = sorted(options, key=lambda option: panels.index(option.rich_help_panel or "Options"))
    tables = []
    for panel, members in groupby(ordered, key=lambda option: option.rich_help_panel or "Options"):
        rows = "\n".join(_row(option) for option in members)
        tables.append(f"### {panel}\n\n| option | meaning | default |\n|---|---|---|\n{rows}")
    return "\n\n".join(tables)


def _row(option: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])
    meaning, _, described = (option.help or "").partition("; default: ")
    return f"| {flags} | {_escaped(meaning)} | {_default(option, described)} |"


def _default(option: Any, described: str) -> str:
    if described:
        return _escaped(described)
    if option.required:
        return "required"
    named = {True: "on", False: "off", None: "none"}
    return (
        named[option.default] if option.default is None or isinstance(option.default, bool) else f"`{option.default}`"
    )


def _escaped(text: str) -> str:
    """Text of the help as Markdown: what could be markup is text, except in backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([|<*_\[\]])", r"\\\1", part) for part in parts)

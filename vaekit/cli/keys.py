"""`vae keys`: makes the keys that callers of a service need."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.options import AsJson, Quiet
from vaekit.cli.output import print_json, say, suggest
from vaekit.cli.panels import KEYS, OUTPUT, Command, Group, examples
from vaekit.errors import InputError

EXAMPLES = examples("vae keys new line-3 --file keys.toml", "vae keys new --help")
NEW_EXAMPLES = examples(
    "vae keys new line-3 --file keys.toml",
    "vae keys new operator --scope read --scope admin --expires 90d --rate 60/minute",
)

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make keys for the callers of a service."""


@app.command("new", epilog=NEW_EXAMPLES, cls=Command)
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="name of the key in logs: lower-case letters, digits, - and _")
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="what the key is for: infer, read or admin; repeatable; default: infer, read", rich_help_panel=KEYS
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="date or time in UTC (2027-01-31) or number of days from now (90d), from which the key is refused; "
            "default: never",
            rich_help_panel=KEYS,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="requests per time, such as 600/minute; default: VAE_RATE_LIMIT", rich_help_panel=KEYS),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="key file to add an entry to, with the hash of the key; default: the entry is printed on stderr",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Make a key and print it once; only its hash is kept."""
    from vaekit_service.keys.file import append
    from vaekit_service.keys.key import check_name, entry, line, new_key, parse

    check_name(name, "vae keys new")
    key = new_key()
    fields = entry(key, scope or ["infer", "read"], None if expires is None else moment(expires), rate)
    parse(line(name, fields), "vae keys new")
    if file is not None:
        append(file, name, fields)
    if as_json:
        written = None if file is None else str(file)
        print_json({"name": name, "key": key, "entry": line(name, fields), "file": written})
        return
    if file is None:
        say(f"add this line at the top of the key file, or to VAE_KEYS:\n{line(name, fields)}")
    else:
        say(f"added {name!r} to {file}")
    say("the key, which is shown only now:")
    typer.echo(key)
    suggest(f"vae serve --keys-file {file}" if file is not None else "vae serve --keys-file FILE")


def moment(text: str) -> datetime:
    """The time that --expires names, to the second, in UTC if it has no offset.

    Raises:
        InputError: neither a date or time nor a number of days.
    """
    if days := re.fullmatch(r"(\d{1,5})d", text):
        return datetime.now(UTC).replace(microsecond=0) + timedelta(days=int(days[1]))
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--expires {text}: expected a date such as 2027-01-31, or days such as 90d") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)

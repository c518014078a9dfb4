"""Highlighting of the pages' requests, which have no HTTP version, and of diagrams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pygments.lexer import RegexLexer, bygroups, using
from pygments.lexers.data import JsonLexer
from pygments.token import Error, Keyword, Name, Text, Whitespace


class Json(JsonLexer):  # type: ignore[misc] # pygments has no annotations
    """JSON in which `...` stands for what is left out."""

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        for start, kind, value in super().get_tokens_unprocessed(text):
            yield start, Text if kind is Error else kind, value


class Request(RegexLexer):  # type: ignore[misc] # pygments has no annotations
    """`POST /path`, an empty line and a JSON body."""

    name = "HTTP request"
    aliases = ("http",)
    tokens = {  # noqa: RUF012 - as pygments declares it
        "root": [
            (r"(GET|POST|PUT|DELETE|HTTP/\S+)( )(.+)(\n)", bygroups(Keyword, Whitespace, Name, Whitespace)),
            (r"([\w-]+)(: .+\n)", bygroups(Name, Text)),
            (r"\n", Whitespace),
            (r"[{\[](?:.|\n)*", using(Json)),
            (r".+\n?", Text),
        ]
    }

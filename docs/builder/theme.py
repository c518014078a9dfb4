"""The colours of the site: those of every chart and report, as furo's variables."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.chart_style import DARK, LIGHT

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace'


def light() -> dict[str, str]:
    """furo's variables of the light theme."""
    return _variables(LIGHT)


def dark() -> dict[str, str]:
    """furo's variables of the dark theme."""
    return _variables(DARK)


def _variables(colours: Mapping[str, str]) -> dict[str, str]:
    return {
        "font-stack": FONT,
        "font-stack--monospace": MONO,
        "color-foreground-primary": colours["text"],
        "color-foreground-secondary": colours["quiet"],
        "color-foreground-muted": colours["quiet"],
        "color-foreground-border": colours["quiet"],
        "color-background-primary": colours["page"],
        "color-background-secondary": colours["box"],
        "color-background-hover": colours["rule"],
        "color-background-border": colours["rule"],
        "color-background-item": colours["rule"],
        "color-brand-primary": colours["text"],
        "color-brand-content": colours["c1"],
        "color-brand-visited": colours["c1"],
        "color-code-background": colours["box"],
        "color-code-foreground": colours["text"],
        "color-inline-code-background": colours["box"],
        "color-api-background": colours["box"],
        "color-api-name": colours["c1"],
        "color-api-pre-name": colours["c1"],
        "color-highlight-on-target": colours["rule"],
    }

"""docs/reference/training.md lists every setting with its default and description.

`python -m tests.training.test_training_page` renews it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vaekit_training.config import Config

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "training.md"
MARK = "<!-- renewed by: python -m tests.training.test_training_page -->\n"


def table() -> str:
    """The lines of the page: one per setting."""
    lines = ["| key | default | what for |", "|---|---|---|"]
    return "\n".join([*lines, *rows(Config, ""), ""])


def rows(model: type[BaseModel], prefix: str) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            lines += rows(section, f"{prefix}{name}.")
        else:
            described = (field.description or "").replace("|", r"\|")
            lines.append(f"| `{prefix}{name}` | {default(field)} | {described} |")
    return lines


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    value = list(value) if isinstance(value, tuple) else value
    return "none" if value is None else f"`{value!r}`"


def test_the_page_lists_every_setting() -> None:
    assert PAGE.read_text().endswith(MARK + "\n" + table()), "python -m tests.training.test_training_page renews it"


def test_an_optional_setting_is_not_called_required() -> None:
    assert default(Config.model_fields["data"].annotation.model_fields["kinds"]) == "`{}`"  # type: ignore[union-attr]  # a section
    assert default(Config.model_fields["name"]) == "(required)"


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + "\n" + table())

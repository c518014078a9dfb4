"""What manifest.json may contain, and its published JSON schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

import vaekit.bundle
from vaekit.bundle import Manifest
from vaekit.bundle.manifest import Name
from vaekit.bundle.read import read_manifest
from vaekit.errors import FormatError

SCHEMA = Path(vaekit.bundle.__file__).with_name("manifest.schema.json")
RENEW = "import json; from vaekit.bundle import Manifest; print(json.dumps(Manifest.model_json_schema(), indent=2))"


@pytest.fixture
def written(tiny) -> dict[str, Any]:
    return json.loads(tiny.manifest.to_json())


def test_a_manifest_is_unchanged_after_writing_and_reading(tiny):
    assert Manifest.model_validate_json(tiny.manifest.to_json()) == tiny.manifest


@pytest.mark.parametrize("bundle", ["breast_cancer", "digits"])
def test_the_committed_manifests_are_unchanged_after_reading_and_writing(bundle, request):
    model = request.getfixturevalue(bundle)
    written = json.loads((model.bundle.source / "manifest.json").read_text())
    back = json.loads(model.manifest.to_json())
    assert {name: value for name, value in back.items() if name in written} == written
    assert not any(back[name] for name in back.keys() - written.keys())  # fields of a newer minor format


def test_fields_of_a_newer_minor_format_are_ignored_at_every_level(tiny, written):
    newer = {**written, "format": "1.7", "novel": 1, "likelihood": {**written["likelihood"], "novel": {}}}
    newer["input"]["columns"][0]["novel"] = []
    read = Manifest.model_validate(newer)
    assert read.format == "1.7"
    assert read.model_copy(update={"format": tiny.manifest.format}) == tiny.manifest


@pytest.mark.parametrize("version", ["2.0", "10.0", "0.9", "1", "1.x", "", None, 1.0])
def test_another_major_format_is_refused(written, tmp_path, version):
    (tmp_path / "manifest.json").write_text(json.dumps({**written, "format": version}))
    with pytest.raises(FormatError, match="format: "):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no manifest.json"), (b"", "Invalid JSON"), (b"[]", "should be an object"), (b'{"format": "1.0"', "JSON")],
)
def test_an_invalid_manifest_is_a_format_error_that_names_the_folder(tmp_path, content, message):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_manifest(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["a", "0", "a-b_c", "breast-cancer", "a" * 64])
def test_a_model_name_has_lower_case_letters_digits_hyphens_and_underscores(name):
    assert TypeAdapter(Name).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "A", "a b", "a/b", "..", ".a", "a.b", "a" * 65, "ä", "a\n", "a%2f"])
def test_other_model_names_are_refused(name):
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/b", "..", "", "A", "x\n", "a\\b"])
def test_a_file_outside_the_folder_of_the_manifest_is_refused(written, file):
    written["golden"]["file"] = file
    with pytest.raises(ValidationError, match=r"golden.file"):
        Manifest.model_validate(written)


def test_a_duplicate_column_name_is_refused(written):
    written["input"]["columns"].append({"name": "a"})
    with pytest.raises(ValidationError, match="duplicate column name: 'a'"):
        Manifest.model_validate(written)


def test_every_signed_file_is_listed(tiny):
    assert {part.file for part in tiny.manifest.files} == set(tiny.files) - {"report/card.md"}


def test_the_published_schema_is_that_of_the_manifest_class():
    renew = f"to renew it:  python -c '{RENEW}' > vaekit/bundle/manifest.schema.json"
    assert json.loads(SCHEMA.read_text()) == Manifest.model_json_schema(), renew


@pytest.mark.parametrize("bundle", ["breast_cancer", "digits"])
def test_the_committed_manifests_fit_the_published_schema(bundle, request):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    manifest = request.getfixturevalue(bundle).bundle.source / "manifest.json"
    jsonschema.validate(json.loads(manifest.read_text()), schema)

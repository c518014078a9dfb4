"""Credentials in URIs are in no message, summary or log."""

from __future__ import annotations

import pytest

from vaekit.storage.paths import without_credentials


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://AKIA:secret@bucket/models", "s3://bucket/models"),
        (
            "s3://AKIA:se/cr/et@bucket/models",
            "s3://bucket/models",
        ),  # a slash that is not escaped
        ("sftp://user:p@ss@host/models", "sftp://host/models"),
        ("az://c/models?sas_token=secret&x=1", "az://c/models?sas_token=...&x=1"),
        ("https://host/models?x=1&X-Amz-Signature=secret", "https://host/models?x=1&X-Amz-Signature=..."),
        ("s3://bucket/models?endpoint_override=minio:9000", "s3://bucket/models?endpoint_override=minio:9000"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("http://host:9000/a@b", "http://host:9000/a@b"),
    ],
)
def test_a_uri_is_shown_without_its_credentials(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown

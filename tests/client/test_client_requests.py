"""The requests that the client sends, and the arguments that it refuses."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from vaekit import AsyncClient, Client
from vaekit.client import ClientError
from vaekit.errors import InputError, MissingExtra, UnknownModel

ROWS = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def client(transport):
    with Client("http://host/prefix", key="secret", transport=transport) as client:
        yield client


@pytest.fixture
def sent(client, transport):
    """Calls an operation and returns its request. The empty reply is invalid, so that every call raises."""

    def send(operation: str, *args: Any, **options: Any) -> httpx.Request:
        with pytest.raises(ClientError):
            getattr(client, operation)(*args, **options)
        return transport.request

    return send


def test_an_array_is_sent_as_npy_with_options_as_query_parameters(sent):
    options = {"num_samples": 8, "seed": 3, "alpha": 0.01, "fdr": 0.1, "log_evidence": False, "features": True}
    request = sent("elbo", ROWS, **options, model="m", version=2)
    assert request.method == "POST"
    assert request.url.path == "/prefix/models/m/versions/2/elbo"
    assert dict(request.url.params) == {
        "num_samples": "8", "seed": "3", "alpha": "0.01", "fdr": "0.1", "log_evidence": "false", "features": "true"
    }  # fmt: skip
    assert request.headers["content-type"] == request.headers["accept"] == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(request.content), allow_pickle=False), ROWS)


def test_tolerance_rules_are_sent_as_json(sent):
    rules = {"a, b": {"above": 0.5}, "c": {"above": 0, "below": "any"}}
    in_query = sent("elbo", ROWS, ignore=rules).url.params["ignore"]
    in_body = json.loads(sent("elbo", ROWS.tolist(), ignore=rules).content)["ignore"]
    assert json.loads(in_query) == in_body == {"a, b": {"above": 0.5}, "c": {"below": "any"}}
    assert "ignore" not in sent("elbo", ROWS).url.params
    assert json.loads(sent("elbo", ROWS.tolist(), ignore={}).content)["ignore"] == {}


def test_an_invalid_tolerance_rule_is_refused_before_anything_is_sent(client):
    with pytest.raises(InputError, match="ignore: column 'a': above: -1: expected a number of at least 0"):
        client.elbo(ROWS, ignore={"a": {"above": -1}})


class Frame:
    """A table with only the Arrow stream interface, like a data frame of any library."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("as_what", [pa.table, lambda t: t.to_batches()[0], Frame], ids=["table", "batch", "frame"])
def test_a_table_of_any_library_is_sent_as_arrow_and_accepts_npy(sent, as_what):
    table = pa.table({"a": [1.0, None], "colour": ["red", "blue"]})
    request = sent("elbo", as_what(table), num_samples=8, features=True, model="m")
    assert request.url.path == "/prefix/models/m/elbo"
    assert dict(request.url.params) == {"num_samples": "8", "features": "true"}
    assert request.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert request.headers["accept"] == "application/x-npy"
    assert pa.ipc.open_stream(request.content).read_all().equals(table)


def test_a_single_column_is_refused(client):
    with pytest.raises(InputError, match=r"^inputs: not a table: "):
        client.elbo(pa.chunked_array([[1.0]]))


def test_without_pyarrow_a_table_is_refused_with_the_extra_to_install(client, monkeypatch):
    frame = Frame(pa.table({"a": [1.0]}))
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # makes `import pyarrow` fail
    with pytest.raises(MissingExtra, match=r"vaekit\[arrow\]"):
        client.elbo(frame)


def test_options_that_are_not_given_are_not_sent(sent):
    assert dict(sent("elbo", ROWS).url.params) == {}
    assert json.loads(sent("elbo", [[1.0]]).content) == {"inputs": [[1.0]]}
    assert json.loads(sent("sample", 2).content) == {"n": 2, "temperature": 1.0, "observe": False}


@pytest.mark.parametrize(
    "rows", [[[1, 2.5]], [{"a": 1.0}], ((1.0, 2.0),), [np.array([1.0, 2.0])], [[np.float64(1), np.int64(2)]]]
)
def test_lists_and_objects_are_sent_as_json(sent, rows):
    request = sent("encode", rows)
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    plain = json.loads(json.dumps(rows, default=lambda value: value.tolist()))
    assert json.loads(request.content) == {"inputs": plain}


NAN = float("nan")
IMAGE = Image.new("L", (2, 2))


@pytest.mark.parametrize(
    ("rows", "plain"),
    [
        ([[1.5, "red"], [NAN, None]], [[1.5, "red"], [None, None]]),
        ([{"a": 1.5, "b": "red"}, {"a": NAN}], [{"a": 1.5, "b": "red"}, {"a": None}]),
        (np.array([[1.5, "red"], [NAN, None]], dtype=object), [[1.5, "red"], [None, None]]),
        ([np.array([1.5, NAN]), (np.float32(NAN), 2)], [[1.5, None], [None, 2]]),
    ],
)
def test_missing_cells_are_sent_as_null_and_levels_by_name(sent, rows, plain):
    assert json.loads(sent("elbo", rows).content) == {"inputs": plain}


def test_members_are_sent_with_their_latents_and_the_reply_is_npy(sent):
    one = sent("decode", ROWS, members=1)
    assert one.headers["content-type"] == one.headers["accept"] == "application/x-npy"
    assert dict(one.url.params) == {"members": "1"}
    for latents in (ROWS, ROWS.tolist()):
        each = sent("decode", latents, members=np.array([1, 0]))
        assert each.headers["accept"] == "application/x-npy"
        assert json.loads(each.content) == {"latents": ROWS.tolist(), "members": [1, 0]}


def test_nan_in_latents_is_refused_and_not_sent_as_null(client, transport):
    with pytest.raises(InputError, match=r"row 0, value 0: not finite: nan$"):
        client.decode([[NAN]])
    assert transport.request is None


def test_options_of_listed_rows_are_sent_in_the_json_body(sent):
    options = {"num_samples": 8, "seed": 3, "alpha": 0.01, "fdr": 0.1, "log_evidence": False, "features": True}
    assert json.loads(sent("elbo", [[1.0]], **options).content) == {"inputs": [[1.0]], **options}


def test_latents_are_sent_like_rows(sent):
    assert json.loads(sent("decode", [[1.0]]).content) == {"latents": [[1.0]]}
    assert sent("decode", ROWS).headers["content-type"] == "application/x-npy"


def test_a_sample_request_is_json_and_accepts_npy(sent):
    request = sent("sample", 5, seed=9, temperature=0.5, observe=True)
    assert json.loads(request.content) == {"n": 5, "seed": 9, "temperature": 0.5, "observe": True}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/x-npy"


def test_images_are_sent_from_paths_and_from_bytes(sent, tmp_path):
    (tmp_path / "x.png").write_bytes(b"one")
    body = json.loads(sent("encode", [tmp_path / "x.png", str(tmp_path / "x.png"), b"two"]).content)
    assert [base64.b64decode(image) for image in body["inputs"]] == [b"one", b"one", b"two"]


def test_the_key_is_sent_as_a_bearer_token(sent):
    assert sent("models").headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("key", ["s\u00e9cret", "secret\n", "sec\rret", "sec\0ret", "secret ", "\u2028secret", ""])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_key_that_a_header_cannot_hold_is_refused_without_showing_it(kind, key):
    with pytest.raises(InputError, match=r"^key: expected printable ASCII") as caught:
        kind("http://host", key=key)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(("key", "bearer"), [(None, "Bearer from-environment"), ("given", "Bearer given")])
def test_a_key_comes_from_the_environment_unless_it_is_given(monkeypatch, transport, key, bearer):
    monkeypatch.setenv("VAE_API_KEY", "from-environment")
    with Client("http://host", key=key, transport=transport) as client:
        client.health()
    assert transport.request.headers["authorization"] == bearer


@pytest.mark.parametrize("key", ["", None])
def test_without_a_key_no_authorization_header_is_sent(transport, monkeypatch, key):
    monkeypatch.delenv("VAE_API_KEY", raising=False) if key is None else monkeypatch.setenv("VAE_API_KEY", key)
    with Client("http://host", transport=transport) as client:
        client.health()
    assert "authorization" not in transport.request.headers


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (("encode", ROWS), "/prefix/encode"),
        (("models",), "/prefix/models"),
        (("model", "digits"), "/prefix/models/digits"),
        (("model", "digits", 3), "/prefix/models/digits/versions/3"),
        (("health",), "/prefix/healthz"),
        (("ready",), "/prefix/readyz"),
    ],
)
def test_request_paths_start_with_the_prefix_of_the_address(client, transport, call, path):
    transport.answer = httpx.Response(500)
    with pytest.raises(ClientError):
        getattr(client, call[0])(*call[1:])
    assert transport.request.url.path == path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0], [float("inf")]], "row 1, value 0: not finite: inf; infinite numbers are refused"),
        ([[1.0], [NAN, float("-inf")]], "row 1, value 1: not finite: -inf; infinite numbers are refused"),
        ([{"a": 1.0, "amount": np.float32("inf")}], "row 0, feature 'amount': not finite: inf; infinite numbers are"),
        ([[1.0], [object()]], "row 1, value 0: not a number: <object"),
        ([{"a": object()}], "row 0, feature 'a': not a number: <object"),
        ("new/n010.png", r"^inputs: expected rows, not str; for one image give a list: \[path\]$"),
        (Path("n010.png"), r"expected rows, not PosixPath; for one image give a list: \[path\]$"),
        (b"rows", "expected rows, not bytes; for one image give a list: "),
        ({"a": 1.0}, r"expected rows, not dict; for one row give a list: \[row\]$"),
        (
            IMAGE,
            r"expected rows, not Image; an image object: give its path, its bytes or an array \(np.asarray\(image\)\)$",
        ),
        ([IMAGE], r"^row 0: an image object: give its path, its bytes or an array \(np.asarray\(image\)\)$"),
        (7, "expected rows, not int"),
        (np.array([["1"]]), "dtype <U1 is not numeric"),
        (np.array([[object()]]), "row 0, value 0: not a number: <object"),
        (np.float64(3), "expected rows, not float64"),
        (np.array(3.0), "a single number, expected an array of rows"),
        ([b"png", [1.0]], "row 1: expected the path or the bytes of an image"),
        (["/none/such.png"], "row 0: /none/such.png: No such file"),
    ],
)
def test_invalid_rows_are_refused_and_nothing_is_sent(client, transport, rows, message):
    with pytest.raises(InputError, match=message):
        client.encode(rows)
    assert transport.request is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "..%2f", "Digits", "a" * 65])
def test_an_invalid_model_name_is_refused_and_nothing_is_sent(client, transport, name):
    with pytest.raises(UnknownModel):
        client.encode(ROWS, model=name)
    assert transport.request is None


def test_a_version_without_a_model_is_refused(client):
    with pytest.raises(InputError, match="version: 3 was given without a model"):
        client.encode(ROWS, version=3)


@pytest.mark.parametrize("address", ["host:8000", "http://", "", "ftp://host", "http://host:port"])
def test_an_invalid_address_is_refused_and_named(address):
    with pytest.raises(InputError, match="expected http://host") as caught:
        Client(address)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("port", [0, -1, 65_536, 99_999])
def test_a_port_that_cannot_exist_is_refused(port):
    with pytest.raises(InputError, match=rf"port {port}, expected 1 to 65535"):
        Client(f"http://127.0.0.1:{port}")

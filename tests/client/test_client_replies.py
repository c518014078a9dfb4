"""How both clients parse valid replies and report invalid ones."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import httpx
import numpy as np
import pytest

from vaekit.client import (
    ProtocolError,
)

ROWS = np.zeros((2, 3))
ELBO = {
    "model": "m",
    "version": 2,
    "elbo": [1.0, 2.0],
    "log_likelihood": [2.0, 3.0],
    "kl": [1.0, 1.0],
    "log_evidence": [1.5, 2.5],
    "score": [-1.0, -2.0],
    "p_value": [0.5, 0.01],
    "p_value_tail": [0.5, 0.001],
    "is_anomaly": [False, True],
    "is_discovery": [False, True],
    "alpha": 0.05,
    "p_value_reason": None,
    "num_samples": 16,
}
FACTS = {"vae-model": "m", "vae-version": "2", "vae-alpha": "0.05", "vae-num-samples": "16"}


def npy(records: np.ndarray, headers: dict[str, str] = FACTS) -> httpx.Response:
    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=False)
    return httpx.Response(200, content=buffer.getvalue(), headers={"content-type": "application/x-npy", **headers})


def records(**columns: Any) -> np.ndarray:
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    made = np.empty(2, dtype=[(name, a.dtype, a.shape[1:]) for name, a in arrays.items()])
    for name, a in arrays.items():
        made[name] = a
    return made


PER_ROW = {name: value for name, value in ELBO.items() if isinstance(value, list)}


def equal(a: Any, b: Any) -> bool:
    pairs = zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True)
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)


def test_json_and_npy_give_the_same_result(client, transport):
    transport.answer = httpx.Response(200, json=ELBO)
    by_json = client.elbo(ROWS)
    transport.answer = npy(records(**PER_ROW))
    assert equal(client.elbo(ROWS), by_json)
    assert (by_json.model, by_json.version, by_json.num_samples, by_json.alpha) == ("m", 2, 16, 0.05)
    np.testing.assert_array_equal(by_json.is_anomaly, [False, True])
    np.testing.assert_array_equal(by_json.is_discovery, [False, True])
    np.testing.assert_array_equal(by_json.p_value_tail, [0.5, 0.001])


def test_null_and_absent_fields_are_none(client, transport):
    nothing = ("log_evidence", "p_value", "p_value_tail", "is_anomaly", "is_discovery")
    null = {**ELBO, **dict.fromkeys(nothing), "alpha": None, "p_value_reason": "why"}
    transport.answer = httpx.Response(200, json=null)
    by_json = client.elbo(ROWS)
    short = {name: value for name, value in PER_ROW.items() if name not in nothing}
    facts = {"vae-model": "m", "vae-version": "2", "vae-num-samples": "16", "vae-p-value-reason": "why"}
    transport.answer = npy(records(**short), facts)
    assert equal(client.elbo(ROWS), by_json)
    assert by_json.p_value is by_json.is_anomaly is by_json.bits_per_dim is by_json.feature_log_likelihood is None
    assert by_json.p_value_tail is by_json.is_discovery is by_json.log_evidence is None
    assert by_json.p_value_reason == "why"


def test_fields_that_an_older_service_does_not_send_are_none(client, transport):
    before = {name: value for name, value in ELBO.items() if name not in ("p_value_tail", "is_discovery")}
    transport.answer = httpx.Response(200, json=before)
    assert client.elbo(ROWS).p_value_tail is client.elbo(ROWS).is_discovery is None


def test_a_row_without_a_p_value_has_nan_and_no_verdict_in_json_and_npy(client, transport):
    p_values, verdicts = ("p_value", "p_value_tail"), ("is_anomaly", "is_discovery")
    null = {name: [None, 0.01] for name in p_values} | {name: [None, True] for name in verdicts}
    transport.answer = httpx.Response(200, json={**ELBO, **null, "observed_count": [2, 3]})
    by_json = client.elbo(ROWS)
    verdict = {name: [np.nan, 0.01] for name in p_values} | {name: [False, True] for name in verdicts}
    transport.answer = npy(records(**{**PER_ROW, **verdict, "observed_count": [2, 3]}))
    by_npy = client.elbo(ROWS)
    for got in (by_json, by_npy):
        for name in p_values:
            np.testing.assert_array_equal(getattr(got, name), [np.nan, 0.01])
        for name in verdicts:
            np.testing.assert_array_equal(getattr(got, name), [False, True])
        np.testing.assert_array_equal(got.observed_count, [2, 3])
        assert got.observed_count.dtype == np.int64


def test_members_and_levels_are_parsed_from_json_and_npy(client, transport):
    mu, weights = np.arange(8.0).reshape(2, 2, 2), np.array([[0.25, 0.75], [1.0, 0.0]])
    levels = {"colour": np.array([[0.5, 0.5], [0.25, 0.75]]), "size": np.array([[1.0, 0, 0], [0, 0, 1.0]])}
    who = {"model": "m", "version": 2}
    listed = {name: a.tolist() for name, a in levels.items()}
    nested = np.empty(2, dtype=[(name, float, a.shape[1:]) for name, a in levels.items()])
    for name, a in levels.items():
        nested[name] = a
    for encoded, decoded in [
        (
            httpx.Response(200, json={**who, "mu": mu.tolist(), "sigma": mu.tolist(), "weights": weights.tolist()}),
            httpx.Response(200, json={**who, "mean": [[1.0], [2.0]], "scale": None, "probabilities": listed}),
        ),
        (
            npy(records(mu=mu, sigma=mu, weights=weights)),
            npy(records(mean=[[1.0], [2.0]], probabilities=nested)),
        ),
    ]:
        transport.answer = encoded
        posterior = client.encode(ROWS)
        np.testing.assert_array_equal(posterior.mu, mu)
        np.testing.assert_array_equal(posterior.weights, weights)
        transport.answer = decoded
        got = client.decode(ROWS, members=[0, 1])
        assert list(got.probabilities) == ["colour", "size"]
        for name, a in levels.items():
            np.testing.assert_array_equal(got.probabilities[name], a)
        assert got.df is None
    sampled = records(latents=np.ones((2, 1)), samples=np.ones((2, 3)), members=np.array([1, 0]))
    transport.answer = npy(sampled, {**FACTS, "vae-seed": "3"})
    np.testing.assert_array_equal(client.sample(2).members, [1, 0])


def test_results_are_contiguous_float64_arrays(client, transport):
    transport.answer = npy(records(mu=np.ones((2, 4), np.float32), sigma=np.ones((2, 4), np.float32)))
    got = client.encode(ROWS)
    assert got.mu.dtype == np.float64
    assert got.mu.flags.c_contiguous
    with pytest.raises(dataclasses.FrozenInstanceError):
        got.mu = got.sigma


def test_replies_of_every_operation_are_parsed(client, transport):
    transport.answer = npy(records(mean=np.zeros((2, 3)), scale=np.ones((2, 3))))
    assert client.decode(ROWS).scale.shape == (2, 3)
    transport.answer = npy(records(mean=np.zeros((2, 8, 8, 1))))
    assert client.decode(ROWS).scale is None
    transport.answer = npy(records(latents=np.zeros((2, 1)), samples=np.ones((2, 3))), {**FACTS, "vae-seed": "77"})
    assert client.sample(2).seed == 77
    transport.answer = httpx.Response(200, json={"default": None, "models": []})
    assert client.models().models == []


def test_the_rules_that_removed_an_alarm_are_named_in_json_and_npy(client, transport):
    transport.answer = httpx.Response(200, json={**ELBO, "tolerated": [["load"], []]})
    assert client.elbo(ROWS).tolerated == [["load"], []]
    transport.answer = npy(records(**PER_ROW, tolerated=['["load"]', ""]))
    assert client.elbo(ROWS).tolerated == [["load"], []]
    transport.answer = httpx.Response(200, json=ELBO)
    assert client.elbo(ROWS).tolerated is None
    transport.answer = httpx.Response(200, json={**ELBO, "tolerated": [["load"]]})
    with pytest.raises(ProtocolError, match="1 values of tolerated, but the request had 2 rows"):
        client.elbo(ROWS)


def test_the_cells_that_make_a_row_novel_are_named_in_json_and_npy(client, transport):
    transport.answer = httpx.Response(200, json={**ELBO, "novel": [[], ["load", "on"]]})
    assert client.elbo(ROWS).novel == [[], ["load", "on"]]
    transport.answer = npy(records(**PER_ROW, novel=["", '["load", "on"]']))
    assert client.elbo(ROWS).novel == [[], ["load", "on"]]
    transport.answer = npy(records(**PER_ROW))
    assert client.elbo(ROWS).novel is None
    transport.answer = npy(records(**PER_ROW, novel=["", "load"]))
    with pytest.raises(ProtocolError, match="novel in the reply is not lists of names"):
        client.elbo(ROWS)


def test_fields_that_a_newer_service_adds_are_ignored(client, transport):
    transport.answer = httpx.Response(200, json={**ELBO, "newer": [1, 2]})
    assert client.elbo(ROWS).num_samples == 16
    transport.answer = npy(records(**PER_ROW, newer=[1.0, 2.0]))
    assert client.elbo(ROWS).num_samples == 16


def json_without(name: str) -> httpx.Response:
    return httpx.Response(200, json={key: value for key, value in ELBO.items() if key != name})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(200, text="<html>"), "content type 'text/plain'"),
        (httpx.Response(200, content=b"{", headers={"content-type": "application/json"}), "not JSON"),
        (httpx.Response(200, json=[1]), "not a JSON object"),
        (json_without("kl"), "kl: Field required"),
        (json_without("model"), "model: Field required"),
        (httpx.Response(200, json={**ELBO, "elbo": ["1.0", "x"]}), "elbo.1"),
        (httpx.Response(200, json={**ELBO, "elbo": [1.0]}), "1 values of elbo, but the request had 2 rows"),
        (npy(np.zeros((2, 3))), "expected one record per row"),
        (npy(records(elbo=[1.0, 2.0])), "the reply has no log_likelihood"),
        (npy(records(**PER_ROW), {}), "the reply has no model"),
        (npy(records(**PER_ROW), {**FACTS, "vae-version": "two"}), "not an array reply"),
        (httpx.Response(200, content=b"\x93NUMPY", headers={"content-type": "application/x-npy"}), "not an array"),
        (httpx.Response(302, headers={"location": "http://elsewhere"}), "unexpected status 302"),
        (httpx.Response(204), "unexpected status 204"),
    ],
)
def test_an_invalid_reply_is_a_protocol_error(client, transport, answer, message):
    transport.answer = answer
    with pytest.raises(ProtocolError, match=message):
        client.elbo(ROWS)


def test_pickled_replies_are_refused(client, transport):
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    transport.answer = httpx.Response(200, content=buffer.getvalue(), headers={"content-type": "application/x-npy"})
    with pytest.raises(ProtocolError, match="allow_pickle"):
        client.elbo(ROWS)

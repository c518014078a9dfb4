"""The clients against a live service: results equal those of the runtime."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.kinds import NAMES, mixed_rows
from tests.live import serving
from vaekit import AsyncClient, Client, Model
from vaekit.client import ConnectionFailed, ModelNotFound, RequestRefused
from vaekit.tabular import encode


@pytest.fixture(scope="module")
def client(url):
    with Client(url) as client:
        yield client


def test_encode_returns_the_runtime_result_for_arrays_lists_and_objects(client, breast_cancer, benign_rows):
    rows = benign_rows[:20]
    here = breast_cancer.encode(rows)
    objects = [dict(zip(breast_cancer.spec.names, row, strict=True)) for row in rows.tolist()]
    for inputs in (rows, rows.tolist(), objects):
        there = client.encode(inputs)
        np.testing.assert_allclose(there.mu, here.mu, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(there.sigma, here.sigma, rtol=1e-5)
    assert (there.model, there.version) == ("breast-cancer", 1)


def test_an_arrow_table_and_an_array_of_the_same_rows_get_equal_scores(client, benign_rows, breast_cancer):
    rows = benign_rows[:20]
    table = pa.table(dict(reversed(list(zip(breast_cancer.spec.names, rows.T, strict=True)))))
    there, here = client.elbo(table, alpha=0.2), client.elbo(rows, alpha=0.2)
    for name in ("elbo", "p_value", "is_anomaly"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))


def test_decode_returns_the_runtime_result(client, breast_cancer):
    z = np.random.default_rng(0).standard_normal((5, breast_cancer.manifest.latent_dim))
    here = breast_cancer.decode(z)
    for latents in (z, z.tolist()):
        there = client.decode(latents)
        np.testing.assert_allclose(there.mean, here.mean, rtol=1e-5)
        np.testing.assert_allclose(there.scale, here.scale, rtol=1e-5)


def test_the_returned_seed_reproduces_the_samples(client):
    first = client.sample(4, model="digits")
    again = client.sample(4, model="digits", seed=first.seed)
    assert first.samples.shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert (client.sample(4, model="digits").samples != first.samples).any()


def test_explanations_are_equal_for_arrays_lists_and_tables(client, breast_cancer, benign_rows):
    rows = benign_rows[:5]
    here = breast_cancer.explain(rows, top=2)
    table = pa.table(dict(zip(breast_cancer.spec.names, rows.T, strict=True)))
    for there in (client.elbo(inputs, explain=2) for inputs in (rows, rows.tolist(), table)):
        np.testing.assert_array_equal(there.explanation["feature"], here.explanation["feature"])
        np.testing.assert_allclose(there.explanation["expected"], here.explanation["expected"], rtol=1e-4)
        np.testing.assert_allclose(there.kl_p_value, here.kl_p_value)
    assert client.elbo(rows).explanation is None


@pytest.mark.parametrize(
    "options",
    [{}, {"seed": 5}, {"num_samples": 8}, {"features": True, "alpha": 0.2}, {"fdr": 0.2}, {"log_evidence": False}],
)
def test_elbo_returns_the_runtime_result_for_npy_and_json(client, breast_cancer, benign_rows, options):
    rows = benign_rows[:20]
    own = {name: value for name, value in options.items() if name in ("seed", "num_samples", "features")}
    here = breast_cancer.elbo(rows, **own)
    by_npy, by_json = client.elbo(rows, **options), client.elbo(rows.tolist(), **options)
    for there in (by_npy, by_json):
        for name in (
            "elbo",
            "log_likelihood",
            "kl",
            "score",
            *(() if "log_evidence" in options else ("log_evidence",)),
        ):
            np.testing.assert_allclose(getattr(there, name), getattr(here, name), rtol=1e-5, atol=1e-5, err_msg=name)
        assert (
            (there.p_value is None)
            == (there.p_value_reason is not None)
            == bool({"seed", "num_samples"} & set(options))
        )
        assert (there.is_discovery is None) == ("fdr" not in options)
        assert (there.log_evidence is None) == ("log_evidence" in options)
        assert (there.feature_log_likelihood is None) == ("features" not in options)
    assert by_npy.num_samples == by_json.num_samples == options.get("num_samples", 16)
    assert (by_npy.alpha, by_npy.p_value_reason) == (by_json.alpha, by_json.p_value_reason)
    if by_npy.is_anomaly is not None:
        np.testing.assert_array_equal(by_npy.is_anomaly, by_npy.p_value <= by_npy.alpha)


def test_images_sent_as_files_arrays_and_lists_get_equal_scores(client, digits, digit_images, tmp_path):
    images = digit_images[:3]
    files = []
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{i}.png")
        files.append(tmp_path / f"{i}.png")
    buffer = io.BytesIO()
    Image.fromarray(images[2, ..., 0]).save(buffer, "PNG")
    here = digits.elbo(images)
    for inputs in (images, images.tolist(), files, [*map(str, files[:2]), buffer.getvalue()]):
        there = client.elbo(inputs, model="digits", version=1)
        np.testing.assert_allclose(there.elbo, here.elbo, rtol=1e-5)
        np.testing.assert_allclose(there.bits_per_dim, digits.bits_per_dim(here), rtol=1e-5)


def test_the_manifests_and_the_list_of_models_match_the_bundles(client, breast_cancer, digits):
    assert client.model("digits") == digits.manifest
    assert client.model("breast-cancer", 1) == breast_cancer.manifest
    listed = client.models()
    assert listed.default == "breast-cancer"
    assert {(model.name, model.version, model.state) for model in listed.models} == {
        ("breast-cancer", 1, "ready"),
        ("digits", 1, "ready"),
    }


def test_health_is_true_for_a_live_service_and_false_for_a_closed_port(client):
    assert client.health() is client.ready() is True
    with Client("http://127.0.0.1:9") as nobody:
        assert nobody.health() is False
        with pytest.raises(ConnectionFailed):
            nobody.models()


def test_a_refusal_has_the_message_of_the_service(client, benign_rows):
    with pytest.raises(RequestRefused, match=r"shape \(357, 29\), expected \(N, 30\)") as caught:
        client.elbo(benign_rows[:, :29])
    assert caught.value.status == 422
    assert caught.value.request_id
    with pytest.raises(ModelNotFound, match="digits"):
        client.elbo(benign_rows, model="nothing")
    with pytest.raises(ModelNotFound, match="of model 'digits'; versions: 1"):
        client.elbo(benign_rows, model="digits", version=9)


def test_one_client_can_be_used_by_several_threads(client, breast_cancer, benign_rows):
    want = breast_cancer.elbo(benign_rows).elbo
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: client.elbo(benign_rows[i : i + 10]).elbo, range(40)))
    for i, answer in enumerate(answers):
        np.testing.assert_allclose(answer, want[i : i + 10], rtol=1e-5)


def test_rows_with_categories_and_missing_cells_get_equal_scores_as_objects_and_arrays(mixed):
    rows = mixed_rows(20, seed=3)
    with Model.load(mixed.folder, device="cpu") as model, serving(mixed.root) as address, Client(address) as client:
        here, x = model.elbo(rows), encode(rows, model.spec)
        objects = [{name: cell for name, cell in zip(NAMES, row, strict=True) if cell is not None} for row in rows]
        for inputs in (rows, rows.tolist(), objects, x, [dict(zip(NAMES, row, strict=True)) for row in rows]):
            there = client.elbo(inputs)
            np.testing.assert_allclose(there.elbo, here.elbo, rtol=1e-5)
            np.testing.assert_array_equal(there.observed_count, here.observed_count)
        drawn = client.sample(6, seed=1, observe=True)
        np.testing.assert_array_equal(encode(drawn.samples, model.spec), drawn.samples)
        decoded = client.decode(drawn.latents)
        assert {name: p.shape for name, p in decoded.probabilities.items()} == {"colour": (6, 3)}
        np.testing.assert_array_equal(decoded.mean[:, 4], decoded.probabilities["colour"].argmax(axis=1))


@pytest.mark.anyio
async def test_the_async_client_decodes_with_the_requested_members(several):
    with serving(several.root) as address:
        async with AsyncClient(address) as client:
            latents = np.zeros((2, 2))
            each = await client.decode(latents, members=[0, 1])
            for member in (0, 1):
                one = await client.decode(latents, members=member)
                np.testing.assert_allclose(one.mean[member], each.mean[member], rtol=1e-6)
            with pytest.raises(RequestRefused, match=r"members: not given, expected one of 0\.\.1"):
                await client.decode(latents)


@pytest.mark.anyio
async def test_the_async_client_supports_every_operation(url, breast_cancer, benign_rows):
    async with AsyncClient(url) as client:
        assert await client.health()
        assert await client.ready()
        assert (await client.model("breast-cancer")) == breast_cancer.manifest
        assert len((await client.models()).models) == 2
        np.testing.assert_allclose(
            (await client.elbo(benign_rows)).elbo, breast_cancer.elbo(benign_rows).elbo, rtol=1e-5
        )
        assert (await client.elbo(benign_rows, log_evidence=False)).log_evidence is None
        posterior = await client.encode(benign_rows)
        assert (await client.decode(posterior.mu)).mean.shape == benign_rows.shape
        assert (await client.sample(3, observe=True)).samples.shape == (3, 30)
    async with AsyncClient("http://127.0.0.1:9") as nobody:
        assert not await nobody.ready()

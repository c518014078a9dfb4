"""Array files that have the sha256 of the manifest, but cannot be read."""

from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import numpy as np
import pytest

from tests.bundle.conftest import npy, npz
from vaekit.bundle import open_bundle, publish
from vaekit.bundle.arrays import read_archive, read_array
from vaekit.bundle.write import digest
from vaekit.errors import FormatError

READ = {"noise.npy": "base_draws", "golden.npz": "golden", "calibration.npz": "calibrations"}
PART = {"noise.npy": "draws", "golden.npz": "golden", "calibration.npz": "calibration"}


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    return buffer.getvalue()


def archive_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def read_from_bundle(tiny, tmp_path):
    """Publishes a bundle with this content in this file, and reads the file from the bundle."""

    def read(file: str, content: bytes) -> Any:
        entry = getattr(tiny.manifest, PART[file]).model_copy(update={"sha256": digest(content)})
        publish(tmp_path, tiny.manifest.model_copy(update={PART[file]: entry}), {**tiny.files, file: content})
        with open_bundle(tmp_path / "tiny" / "1") as bundle:
            return getattr(bundle, READ[file])()

    return read


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize(
    "content",
    [b"", b"not numpy", pickled(), npy(np.array(["text"])), npy(np.zeros((4, 2)))[:-1], npz(x=np.array(["text"]))],
    ids=["empty", "text", "pickle", "strings", "cut", "archive of strings"],
)
def test_a_file_that_numpy_cannot_read_is_a_format_error_that_names_it(read_from_bundle, file, content):
    with pytest.raises(FormatError, match=rf"^{file}: not arrays of numbers: "):
        read_from_bundle(file, content)


def test_an_archive_is_refused_where_an_array_is_expected(read_from_bundle):
    with pytest.raises(FormatError, match=r"^noise.npy: not arrays of numbers: found NpzFile"):
        read_from_bundle("noise.npy", npz(x=np.zeros(1)))


@pytest.mark.parametrize("file", ["golden.npz", "calibration.npz"])
@pytest.mark.parametrize(
    "content",
    [npy(np.zeros(3)), npz(x=np.zeros(1))[:-9], archive_of("x.npy", pickled()), archive_of("x", b"bytes")],
    ids=["one array", "cut", "pickle in it", "bytes in it"],
)
def test_an_archive_with_other_content_than_number_arrays_is_a_format_error(read_from_bundle, file, content):
    with pytest.raises(FormatError, match=rf"^{file}: not arrays of numbers: "):
        read_from_bundle(file, content)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, "no array 'elbo_k2_default'"),
        ({"elbo_k2_default": np.array([0.0, np.nan])}, "a held-out score is not finite"),
        ({"elbo_k2_default": np.empty(0)}, "no held-out scores"),
    ],
)
def test_invalid_held_out_scores_are_a_format_error(read_from_bundle, arrays, message):
    with pytest.raises(FormatError, match=rf"^calibration.npz: .*{message}"):
        read_from_bundle("calibration.npz", npz(**arrays))


@pytest.mark.filterwarnings("ignore::UserWarning")  # numpy's, of a header that Python 2 wrote
@pytest.mark.parametrize("read", [read_array, read_archive])
def test_files_with_changed_bytes_raise_no_error_but_a_format_error(tmp_path, read):
    whole = npy(np.arange(8.0).reshape(4, 2)) if read is read_array else npz(x=np.zeros(3), y=np.arange(4))
    path, chance = tmp_path / "x", random.Random(0)
    refused = 0
    for _ in range(1000):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            read(path)
        except FormatError:
            refused += 1
    assert refused > 100

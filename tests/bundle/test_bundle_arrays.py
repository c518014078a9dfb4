"""Files of arrays that are signed, so that no digest tells them, and yet cannot be read."""

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
def reading(tiny, tmp_path):
    """What a bundle says, that was published with this content in this file."""

    def read(file: str, content: bytes) -> Any:
        entry = getattr(tiny.manifest, PART[file]).model_copy(update={"sha256": digest(content)})
        publish(tmp_path, tiny.manifest.model_copy(update={PART[file]: entry}), {**tiny.files, file: content})
        with open_bundle(tmp_path / "tiny" / "1") as bundle:
            return getattr(bundle, READ[file])()

    return read


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize(
    "content",
    [b"", b"no numpy", pickled(), npy(np.array(["text"])), npy(np.zeros((4, 2)))[:-1], npz(x=np.array(["text"]))],
    ids=["empty", "text", "pickle", "strings", "cut", "archive of strings"],
)
def test_a_signed_file_that_numpy_cannot_read_is_a_format_error_with_its_name(reading, file, content):
    with pytest.raises(FormatError, match=rf"^{file}: not arrays of numbers: "):
        reading(file, content)


def test_an_archive_is_no_array_and_an_array_no_archive(reading):
    with pytest.raises(FormatError, match=r"^noise.npy: not arrays of numbers: found NpzFile"):
        reading("noise.npy", npz(x=np.zeros(1)))


@pytest.mark.parametrize("file", ["golden.npz", "calibration.npz"])
@pytest.mark.parametrize(
    "content",
    [npy(np.zeros(3)), npz(x=np.zeros(1))[:-9], archive_of("x.npy", pickled()), archive_of("x", b"bytes")],
    ids=["one array", "cut", "pickle in it", "bytes in it"],
)
def test_an_archive_with_something_else_in_it_is_a_format_error(reading, file, content):
    with pytest.raises(FormatError, match=rf"^{file}: not arrays of numbers: "):
        reading(file, content)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, "no array 'elbo_k2_default'"),
        ({"elbo_k2_default": np.array([0.0, np.nan])}, "a held-out score is not finite"),
        ({"elbo_k2_default": np.empty(0)}, "no held-out scores"),
    ],
)
def test_held_out_scores_that_can_be_none_are_a_format_error(reading, arrays, message):
    with pytest.raises(FormatError, match=rf"^calibration.npz: .*{message}"):
        reading("calibration.npz", npz(**arrays))


@pytest.mark.filterwarnings("ignore::UserWarning")  # numpy's, of a header that Python 2 wrote
@pytest.mark.parametrize("read", [read_array, read_archive])
def test_whatever_bytes_are_changed_nothing_but_a_format_error_comes_of_it(tmp_path, read):
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

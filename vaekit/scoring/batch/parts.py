"""The files of a run in its output folder, from which an interrupted run can resume.

    FOLDER/part-00000.parquet          rows of one fragment of the input; below key=value/ with --partitions
    FOLDER/_run.json                   model, options and input files of the run
    FOLDER/_parts/00000.json           record of a part: fragment, file size and counts
    FOLDER/_quarantine/00000.parquet   invalid rows of that fragment, if any
    FOLDER/_SUCCESS                    empty; the run is complete

A part is written first, then its record. A part is valid if it has a record and its file agrees with the record. On
resume every other part is written again under the same name, so that each row is in the output exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from vaekit.errors import InputError
from vaekit.scoring.batch.tally import Tally
from vaekit.scoring.files.fragments import Fragment, InputFile
from vaekit.scoring.files.writer import INCOMPLETE, make_folder, replacing
from vaekit.storage.paths import StoragePath

RUN, RECORDS, QUARANTINE, SUCCESS = "_run.json", "_parts", "_quarantine", "_SUCCESS"
FORMAT = 1


@dataclass(frozen=True)
class PartRecord:
    """The record of a part, written after the part."""

    number: int
    part: str  # path below the folder
    fragment: Fragment
    rows: int  # rows in the part's file
    quarantined: int  # invalid rows of the fragment
    bytes: int  # size of the part's file
    tally: Tally
    cut: float | None = None  # largest p-value of a discovery; None: is_discovery is not filled in yet

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "fragment": asdict(self.fragment), "tally": self.tally.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> PartRecord:
        fragment = Fragment(**{**found["fragment"], "file": InputFile(**found["fragment"]["file"])})
        return cls(**{**found, "fragment": fragment, "tally": Tally.from_json(found["tally"])})


class PartFolder:
    """The output folder of one run."""

    def __init__(self, folder: StoragePath) -> None:
        self.folder = folder

    def begin(self, facts: Mapping[str, Any], fragments: Sequence[Fragment], *, resume: bool) -> None:
        """Create the folder and describe the run in it, or check that the folder has this run.

        Args:
            facts: everything that the parts depend on, except the input files, as JSON.
            fragments: fragments of the input.
            resume: whether to continue a run in the folder.

        Raises:
            InputError: the folder has another run, or this run but `resume` is false, or other files.
        """
        files = {fragment.file.name: [fragment.file.size, fragment.file.changed] for fragment in fragments}
        run = json.loads(json.dumps({"format": FORMAT, **facts, "files": files}))  # as JSON reads it back
        existing = self._existing_files()
        if RUN in existing:
            if not resume:
                raise InputError(
                    f"{self.folder}: the folder has a run already; continue it with --resume or choose another folder"
                )
            self._check(json.loads(self.folder.below(RUN).read()), run)
            return self._delete_incomplete()
        if existing:
            raise InputError(f"{self.folder}: the folder is not empty and has no run; choose another folder")
        for name in ("", RECORDS, QUARANTINE):
            make_folder(self.folder.below(name) if name else self.folder)
        self._write(RUN, run)
        return None

    def name(self, number: int, fragment: Fragment, *, partitions: bool) -> str:
        """Path of a part below the folder."""
        keys = fragment.keys.items() if partitions else ()
        return "/".join([*(f"{key}={_hive_value(value)}" for key, value in keys), f"part-{number:05}.parquet"])

    def quarantine(self, number: int) -> StoragePath:
        """Path of the invalid rows of a part."""
        return self.folder.below(f"{QUARANTINE}/{number:05}.parquet")

    def write(self, record: PartRecord) -> None:
        """Write the record. From now on the part is valid."""
        self._write(f"{RECORDS}/{record.number:05}.json", record.to_json())

    def read(self, fragments: Sequence[Fragment]) -> Iterator[PartRecord]:
        """The records of all valid parts, in order."""
        records = {info.base_name for info in self.folder.below(RECORDS).files()}
        for number, fragment in enumerate(fragments):
            if f"{number:05}.json" in records:
                record = self.record(number)
                if record.fragment == fragment and self._is_valid(record):
                    yield record

    def record(self, number: int) -> PartRecord:
        """Read the record of a part."""
        return PartRecord.from_json(json.loads(self.folder.below(f"{RECORDS}/{number:05}.json").read()))

    def succeed(self) -> None:
        """Mark the run as complete."""
        with replacing(self.folder.below(SUCCESS)) as temp:
            temp.touch()

    def _existing_files(self) -> list[str]:
        """Paths of the files below the folder, without incomplete files."""
        if not self.folder.exists:
            return []
        if not self.folder.is_folder:
            raise InputError(f"{self.folder}: an existing file, expected a folder")
        names = [self.folder.name_of(info) for info in self.folder.files()]
        return [name for name in names if INCOMPLETE not in name]

    def _delete_incomplete(self) -> None:
        """Delete the incomplete files of a run that was killed."""
        for info in self.folder.files():
            if INCOMPLETE in info.base_name:
                self.folder.filesystem.delete_file(info.path)

    def _is_valid(self, record: PartRecord) -> bool:
        """Whether the file of the part agrees with its record."""
        file = self.folder.below(record.part)
        if not file.exists or file.info.size != record.bytes:
            return False
        try:
            with file.open() as opened:
                return bool(pq.read_metadata(opened).num_rows == record.rows)
        except (pa.ArrowException, OSError):
            return False

    def _check(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Raises InputError if the run in the folder differs from this one."""
        for name in [*was, *now]:
            old, new = was.get(name), now.get(name)
            if name != "files" and old != new:
                raise InputError(
                    f"{self.folder}: cannot be resumed: {name} was {old!r} and is now {new!r}; score into a new "
                    "folder, or resume with the model, options and version of vaekit that began the run"
                )
        for name in [*was["files"], *now["files"]]:
            old, new = was["files"].get(name), now["files"].get(name)
            if old != new:
                what = "is new" if old is None else "is gone" if new is None else "has changed"
                raise InputError(f"{self.folder}: cannot be resumed: {name} {what} since the run began")

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with replacing(self.folder.below(name)) as temp:
            temp.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _hive_value(value: Any) -> str:
    """The value of a key=value folder, as Hive writes it."""
    return "__HIVE_DEFAULT_PARTITION__" if value is None else quote(str(value), safe="")

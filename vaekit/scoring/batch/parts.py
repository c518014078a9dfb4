"""What is written of a run into a folder, part by part, so that a run that was ended goes on.

    FOLDER/part-00000.parquet          the rows of one fragment of the input; below key=value/ where these are kept
    FOLDER/_run.json                   the run: model, options and the input's files
    FOLDER/_parts/00000.json           the record of a part: its fragment, what it holds, and its counts
    FOLDER/_quarantine/00000.parquet   bad rows of that fragment, where there are any
    FOLDER/_SUCCESS                    all is there

A part counts once its record is there, which is written after it, and as long as the file is what the record says.
Whatever else a run that was ended has left is written anew under the same name: no row is lost, none is there twice.
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
from vaekit.scoring.files.paths import Place
from vaekit.scoring.files.writer import MARK, make_folder, replacing

RUN, RECORDS, QUARANTINE, SUCCESS = "_run.json", "_parts", "_quarantine", "_SUCCESS"
FORMAT = 1


@dataclass(frozen=True)
class PartRecord:
    """What there is of one part."""

    number: int
    part: str  # its path below the folder
    fragment: Fragment
    rows: int  # in the part's file
    quarantined: int  # rows that are not
    bytes: int  # of the part's file
    tally: Tally
    cut: float | None = None  # by which is_discovery was told; None: it is not told yet

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "fragment": asdict(self.fragment), "tally": self.tally.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> PartRecord:
        fragment = Fragment(**{**found["fragment"], "file": InputFile(**found["fragment"]["file"])})
        return cls(**{**found, "fragment": fragment, "tally": Tally.from_json(found["tally"])})


class PartFolder:
    """The folder of one run."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder

    def begin(self, facts: Mapping[str, Any], fragments: Sequence[Fragment], *, resume: bool) -> None:
        """Make the folder, or see that the run there is this one.

        Args:
            facts: all that parts depend on but the input, as JSON has it.
            fragments: of the input.
            resume: whether a run may be there.

        Raises:
            InputError: a run that is there and is not to be gone on with, or is another; a folder of something else.
        """
        files = {fragment.file.name: [fragment.file.size, fragment.file.changed] for fragment in fragments}
        run = json.loads(json.dumps({"format": FORMAT, **facts, "files": files}))  # as it comes back from a file
        there = self._there()
        if RUN in there:
            if not resume:
                raise InputError(f"{self.folder}: holds a run already: --resume goes on with it")
            self._check(json.loads(self.folder.below(RUN).read()), run)
            return self._sweep()
        if there:
            raise InputError(f"{self.folder}: is not empty, and holds no run")
        for name in ("", RECORDS, QUARANTINE):
            make_folder(self.folder.below(name) if name else self.folder)
        self._write(RUN, run)
        return None

    def name(self, number: int, fragment: Fragment, *, partitions: bool) -> str:
        """Where a part's file lies, below the folder."""
        keys = fragment.keys.items() if partitions else ()
        return "/".join([*(f"{key}={_said(value)}" for key, value in keys), f"part-{number:05}.parquet"])

    def quarantine(self, number: int) -> Place:
        """Where a part's bad rows lie."""
        return self.folder.below(f"{QUARANTINE}/{number:05}.parquet")

    def write(self, record: PartRecord) -> None:
        """From here on the part counts."""
        self._write(f"{RECORDS}/{record.number:05}.json", record.to_json())

    def read(self, fragments: Sequence[Fragment]) -> Iterator[PartRecord]:
        """The records of all parts that count, in order."""
        there = {info.base_name for info in self.folder.below(RECORDS).files()}
        for number, fragment in enumerate(fragments):
            if f"{number:05}.json" in there:
                record = self.record(number)
                if record.fragment == fragment and self._holds(record):
                    yield record

    def record(self, number: int) -> PartRecord:
        """The record of a part that has one."""
        return PartRecord.from_json(json.loads(self.folder.below(f"{RECORDS}/{number:05}.json").read()))

    def succeed(self) -> None:
        """Say that all is there."""
        with replacing(self.folder.below(SUCCESS)) as temp:
            temp.touch()

    def _there(self) -> list[str]:
        """Names below the folder, those of files that were never whole left out."""
        if not self.folder.exists:
            return []
        if not self.folder.is_folder:
            raise InputError(f"{self.folder}: a file; the output is a folder")
        names = [self.folder.name_of(info) for info in self.folder.files()]
        return [name for name in names if MARK not in name]

    def _sweep(self) -> None:
        """Delete what a run that was killed has left of files that were not whole."""
        for info in self.folder.files():
            if MARK in info.base_name:
                self.folder.filesystem.delete_file(info.path)

    def _holds(self, record: PartRecord) -> bool:
        """Whether the part's file is the one that was written."""
        file = self.folder.below(record.part)
        if not file.exists or file.info.size != record.bytes:
            return False
        try:
            with file.open() as opened:
                return bool(pq.read_metadata(opened).num_rows == record.rows)
        except (pa.ArrowException, OSError):
            return False

    def _check(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Raises InputError where the run that is there is not this one."""
        for name in [*was, *now]:
            old, new = was.get(name), now.get(name)
            if name != "files" and old != new:
                raise InputError(f"{self.folder}: cannot be resumed: {name} was {old!r} and is {new!r}")
        for name in [*was["files"], *now["files"]]:
            old, new = was["files"].get(name), now["files"].get(name)
            if old != new:
                what = "is new" if old is None else "is gone" if new is None else "has changed"
                raise InputError(f"{self.folder}: cannot be resumed: {name} {what} since the run began")

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with replacing(self.folder.below(name)) as temp:
            temp.write_text(json.dumps(content) + "\n")


def _said(value: Any) -> str:
    """A folder's value as readers of hive partitions take it."""
    return "__HIVE_DEFAULT_PARTITION__" if value is None else quote(str(value), safe="")

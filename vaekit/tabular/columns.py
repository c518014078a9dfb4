"""Matches the columns of the input with the model's columns, by name or by order."""

from __future__ import annotations

import re
import shlex
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from operator import itemgetter
from typing import Any, NoReturn

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import show
from vaekit.tabular.label_names import named_as_label

MOST_NAMED = 20  # names in a message about a column that does not exist
MOST_IGNORED = 1000  # names of columns that rows may have beside the model's
_LISTED = 10  # names that a message lists
_SHOWN = 100  # characters of an ignored name
_COMPARED = 20  # absent columns that ignored names are compared with
_INDEX = re.compile(r"|Unnamed: \d+(?:\.\d+)?|__index_level_\d+__")  # as pandas names a frame's index in a file


@dataclass(frozen=True)
class Ignored:
    """The columns of rows that the model does not have."""

    columns: tuple[str, ...] = ()  # in the order of their first appearance
    warnings: tuple[str, ...] = ()  # of columns of the model that are absent, and of names that resemble them
    absent: tuple[str, ...] = ()  # columns of the model that a table lacks; of rows by name unknown

    def warn(self, stacklevel: int) -> None:
        """Warn of the ignored and the absent columns, in one Python warning."""
        text = [f"columns that the model does not have are ignored: {listed(self.columns)}"] if self.columns else []
        if said := [*text, *self.warnings]:
            warnings.warn("; ".join(said), stacklevel=stacklevel + 1)


NOTHING_IGNORED = Ignored()


def ignored(
    names: Iterable[Any],
    absent: Iterable[str],
    *,
    strict: bool = False,
    most: int | None = MOST_IGNORED,
    where: str = "",
) -> Ignored:
    """The rule for columns that the model does not have: they are ignored, and named once.

    A name that is an absent column's but for case, blanks around it, or -, _ and blanks within is refused: its cells
    would be missing, and the scores wrong. An index that pandas wrote into a file is no column; it is neither named nor
    refused.

    Args:
        names: the columns that the model does not have.
        absent: the columns of the model that the rows lack.
        strict: whether to refuse columns that the model does not have.
        most: how many columns may be ignored; None: any number, of which 1,000 are named.
        where: what the error message begins with.

    Raises:
        InputError: strict and there are such columns, there are more of them than `most`, or one is an absent column
            in another spelling.
    """
    absent = list(absent)
    extra = tuple(dict.fromkeys(str(name)[:_SHOWN] for name in names if not is_index_name(str(name)[:_SHOWN])))
    if not extra:
        return NOTHING_IGNORED
    if strict:
        raise InputError(f"{where}unknown feature {show(extra[0])}; strict allows only the model's columns")
    spelt = {_spelling(name): name for name in absent}
    if twin := next((name for name in extra if _spelling(name) in spelt), None):
        raise InputError(f"{where}column {twin!r} is {spelt[_spelling(twin)]!r} in the model: rename it")
    if most is not None and len(extra) > most:
        raise InputError(
            f"{where}{len(extra)} columns that the model does not have, at most {most:,} are ignored; send the model's "
            f"columns alone"
        )
    extra = extra[:MOST_IGNORED]
    alike = resembling(extra, absent)
    return Ignored(extra, tuple(f"column {one!r} is ignored; did you mean {meant!r}?" for one, meant in alike.items()))


def resembling(names: Iterable[str], absent: Iterable[str]) -> dict[str, str]:
    """For each of the first 1,000 names that resembles an absent column, that column. Comparing takes long."""
    plain = {_plain(name): name for name in list(absent)[:_COMPARED] if len(name) <= _SHOWN}
    found = {}
    for name in islice(names, MOST_IGNORED) if plain else ():
        if len(name) <= _SHOWN and (close := get_close_matches(_plain(name), plain, n=1, cutoff=0.75)):
            found[name] = plain[close[0]]
    return found


def no_column(name: str, names: Sequence[str]) -> str:
    """What to say of a column that does not exist: the column that was probably meant, and the first names."""
    plain = {_plain(one): one for one in names[:MOST_IGNORED] if len(one) <= _SHOWN}
    close = [one for one in plain if one.startswith(_plain(name))] if name else []
    close = close or (get_close_matches(_plain(name), plain, n=1, cutoff=0.7) if len(name) <= _SHOWN else [])
    hint = f" (did you mean {plain[close[0]]!r}?)" if close else ""
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMED else ""
    return f"no column {name!r}{hint}; there are: {', '.join(names[:MOST_NAMED]) or 'none'}{more}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are if that is not all."""
    return ", ".join(map(repr, names[:_LISTED])) + (f", ... ({len(names)} in all)" if len(names) > _LISTED else "")


def is_index_name(name: str) -> bool:
    """Whether a file's column is an unnamed index that pandas wrote: '', 'Unnamed: 0' or '__index_level_0__'."""
    return _INDEX.fullmatch(name) is not None


def duplicates(names: Sequence[str]) -> list[str]:
    """The names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_duplicate_names(names: Sequence[str], where: str = "") -> None:
    """Check that no column name occurs twice.

    Raises:
        InputError: the message begins with `where` and lists all duplicate names.
    """
    if repeated := duplicates(names):
        raise InputError(f"{where}duplicate column name: {', '.join(map(repr, repeated))}")


def model_order(
    names: Sequence[str],
    spec: VectorSpec,
    *,
    strict: bool = False,
    most: int | None = MOST_IGNORED,
    beside: Collection[str] = (),
) -> tuple[list[int | None], Ignored]:
    """(the index in the table of each column of the model, (D,), in the model's order; the other columns).

    As in rows by name, see `in_column_order`, a column may be absent if its cells may be missing: its index is None.
    Tables are warned of it, because all of their rows lack it. Columns `beside` are not ignored.

    Raises:
        InputError: columns that are absent and may not be, or the model's columns are all absent (the message names
            them, and what they may be called in the table), or duplicated; see also `ignored`.
    """
    known, at = set(spec.names), {name: d for d, name in enumerate(names)}
    unknown = [name for name in names if name not in known and name not in beside]
    absent = [name for name in spec.names if name not in at]
    if lacking := absent if len(absent) == spec.dim else _required(absent, spec):
        _refuse_lacking(lacking, unknown)
    refuse_duplicate_names([name for name in names if name in known])
    other = ignored(unknown, absent, strict=strict, most=most)
    said = tuple(f"column {name!r} is absent: its cells are missing" for name in absent)
    other = replace(other, warnings=(*said, *other.warnings), absent=tuple(absent))
    return [at.get(name) for name in spec.names], other


def _required(absent: Iterable[str], spec: VectorSpec) -> list[str]:
    """Those of the absent columns whose cells may not be missing."""
    may_be_missing = {column.name for column in spec.columns if column.may_be_missing}
    return [name for name in absent if name not in may_be_missing]


def _refuse_lacking(lacking: Sequence[str], unknown: Sequence[str]) -> NoReturn:
    meant = {column: name for name, column in resembling(unknown, lacking).items()}
    alike = "".join(f"; {name!r} resembles {column!r}" for column, name in meant.items())
    labels = [name for name in lacking if named_as_label(name)] if not meant else []
    word = shlex.quote(labels[0]) if labels else ""
    why = (
        f"; {labels[0]!r} looks like a label that was modelled as any other column: if it is one, train again with "
        f"--label {word} or --exclude {word}"
        if labels
        else ""
    )
    raise InputError(f"the input lacks {len(lacking)} of the model's columns: {listed(lacking)}{alike}{why}")


def check_widths(rows: Sequence[Any], spec: VectorSpec) -> None:
    """Check that each row is a list with one cell for each column of the model.

    Raises:
        InputError: the message names the row.
    """
    try:
        widths = set(map(len, rows))
    except TypeError:
        row = next(i for i, r in enumerate(rows) if not hasattr(r, "__len__"))
        raise InputError(f"row {row}: expected a list of {spec.dim} numbers, not {show(rows[row])}") from None
    if widths != {spec.dim}:
        row = next(i for i, r in enumerate(rows) if len(r) != spec.dim)
        raise InputError(f"row {row}: {len(rows[row])} values, expected {spec.dim}")


def without_series(X: Any) -> Any:  # noqa: N803  scikit-learn's name
    """A list of pandas Series, such as rows of a frame, as dicts by name, or as lists if they have no names."""
    if not isinstance(X, list | tuple) or not X or not all(_is_series(row) for row in X):
        return X
    if all(isinstance(name, str) for row in X for name in row.index):
        return [dict(row.items()) for row in X]
    return [row.tolist() for row in X]


def _is_series(row: Any) -> bool:
    return all(hasattr(row, name) for name in ("index", "items", "tolist")) and not isinstance(row, Mapping)


def in_column_order(
    rows: Sequence[Any], spec: VectorSpec, *, strict: bool = False
) -> tuple[list[Sequence[Any]], Ignored]:
    """(mappings by column name as lists of cells in column order, the other keys).

    A column without a key is None if it may be missing.

    Raises:
        InputError: a row that is not a mapping, or a missing column that may not be missing; see also `ignored`.
    """
    known = set(spec.names)
    extra: dict[Any, None] = {}  # in order
    absent: dict[str, None] = {}
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"row {i}: expected an object with column names as keys, like row 0, not {show(row)}")
        if row.keys() != known:
            extra |= dict.fromkeys(key for key in row if key not in known)
            absent |= dict.fromkeys(name for name in spec.names if name not in row)
            if (strict and extra) or len(extra) > MOST_IGNORED:
                ignored(extra, absent, strict=strict, where=f"row {i}: ")
    other = ignored(extra, absent)
    if refused := _required(absent, spec):
        _refuse_absent(rows, refused, other)
    if absent:
        return [[row.get(name) for name in spec.names] for row in rows], other
    pick = itemgetter(*spec.names) if spec.dim > 1 else lambda row: (row[spec.names[0]],)
    return list(map(pick, rows)), other


def _refuse_absent(rows: Sequence[Mapping[Any, Any]], refused: Iterable[str], other: Ignored) -> NoReturn:
    row, name = next((i, name) for i, row in enumerate(rows) for name in sorted(refused) if name not in row)
    alike = next((f"; {one!r} resembles it" for one in resembling(other.columns, [name])), "")
    raise InputError(f"row {row}, feature {name!r}: missing{alike}")


def _spelling(name: str) -> str:
    """A name without case and blanks around it, and with one sign for -, _ and blanks."""
    return re.sub(r"[-_\s]", "_", name.strip().casefold())


def _plain(name: str) -> str:
    """A name without what is easily written in another way."""
    return re.sub(r"[\W_]+", "", name.lower()) or name

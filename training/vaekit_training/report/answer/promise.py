"""The section on the false-alarm promise: what alpha means for this model, and how far one model may be from it."""

from __future__ import annotations

from vaekit_training.evaluate import ALPHA
from vaekit_training.report import guarantees, words
from vaekit_training.report.answer.shares import percent
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Section, number, plural


def section(facts: Facts) -> Section:
    """The false-alarm promise, with its table by alpha and by group."""
    entry = guarantees.entry_of(facts.manifest)
    chart = guarantees.figure(entry)
    tables = [guarantees.table(entry), guarantees.groups(entry)]
    return Section(
        "promise",
        "The false-alarm promise",
        (*sentences(facts), words.p_value(facts), guarantees.tail(entry)),
        (chart,) if chart else (),
        tuple(table for table in tables if table),
    )


def sentences(facts: Facts) -> tuple[str, ...]:
    """What alpha promises, and the range in which the rate of this model may be."""
    entry = guarantees.entry_of(facts.manifest)
    most = percent(ALPHA * entry.guarantee)
    said = (
        f"You set alpha, the share of normal rows that may be flagged. With alpha = {ALPHA} at most {most} of the rows "
        "that are like the calibration rows are flagged, on average over calibrations."
    )
    own = entry.rate_interval(ALPHA)
    if own is not None:
        said += (
            f" This one model was calibrated on {plural(entry.n, 'row')}: its own rate lies between "
            f"{percent(own[0])} and {percent(own[1])} for 95 of 100 calibrations."
        )
    smallest = number(1 / (1 + entry.rows_per_p_value), 3)
    least = f"The smallest p-value is {smallest}: with a lower alpha no row is flagged."
    if entry.groups is not None:
        least += " Within a group it depends on the rows of the group, as the table says."
    return said, least

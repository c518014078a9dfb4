"""Batch scoring by streaming: files of rows in, files with scores out. Knows files and models, not HTTP."""

from vaekit.scoring.appended import APPENDED
from vaekit.scoring.calibrate import publish_calibration
from vaekit.scoring.evaluate import COUNTS, Evaluation, evaluate_file
from vaekit.scoring.explain import RowExplained, explain_row
from vaekit.scoring.folder import score_folder
from vaekit.scoring.options import Options
from vaekit.scoring.reference import locate, split_reference
from vaekit.scoring.score import score_file
from vaekit.scoring.scorers import LocalScorer, RemoteScorer, Scorer, Scores
from vaekit.scoring.summary import Summary

__all__ = [
    "APPENDED",
    "COUNTS",
    "Evaluation",
    "LocalScorer",
    "Options",
    "RemoteScorer",
    "RowExplained",
    "Scorer",
    "Scores",
    "Summary",
    "evaluate_file",
    "explain_row",
    "locate",
    "publish_calibration",
    "score_file",
    "score_folder",
    "split_reference",
]

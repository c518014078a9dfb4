"""Batch scoring by streaming: files of rows in, files with scores out. Knows files and models, not HTTP."""

from vaekit.scoring.appended import APPENDED
from vaekit.scoring.calibrate import publish_calibration
from vaekit.scoring.evaluate import COUNTS, Evaluation, evaluate_file
from vaekit.scoring.reference import locate, split_reference
from vaekit.scoring.score import Summary, score_file
from vaekit.scoring.scorers import LocalScorer, RemoteScorer, Scorer, Scores

__all__ = [
    "APPENDED",
    "COUNTS",
    "Evaluation",
    "LocalScorer",
    "RemoteScorer",
    "Scorer",
    "Scores",
    "Summary",
    "evaluate_file",
    "locate",
    "publish_calibration",
    "score_file",
    "split_reference",
]

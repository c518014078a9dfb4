"""Batch scoring by streaming: files of rows in, files with scores out."""

from vaekit.bundle.models_folder import split_reference
from vaekit.scoring.batch.folder import score_folder
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.score import score_file
from vaekit.scoring.batch.summary import Summary
from vaekit.scoring.evaluation.calibrate import publish_calibration
from vaekit.scoring.evaluation.evaluate import COUNTS, Evaluation, evaluate_file
from vaekit.scoring.evaluation.explain_row import RowExplained, explain_row
from vaekit.scoring.evaluation.explain_rows import RowChoice, explain_rows
from vaekit.scoring.frames import score_frame
from vaekit.scoring.output_columns import APPENDED
from vaekit.scoring.reference import locate
from vaekit.scoring.remote import RemoteScorer
from vaekit.scoring.scorers import LocalScorer, Scorer, Scores

__all__ = [
    "APPENDED",
    "COUNTS",
    "Evaluation",
    "LocalScorer",
    "Options",
    "RemoteScorer",
    "RowChoice",
    "RowExplained",
    "Scorer",
    "Scores",
    "Summary",
    "evaluate_file",
    "explain_row",
    "explain_rows",
    "locate",
    "publish_calibration",
    "score_file",
    "score_folder",
    "score_frame",
    "split_reference",
]

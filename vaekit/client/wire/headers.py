"""Names of HTTP headers, and media types of bodies."""

from __future__ import annotations

# Headers of array and Arrow replies.
MODEL_HEADER = "vae-model"
VERSION_HEADER = "vae-version"
SEED_HEADER = "vae-seed"
ALPHA_HEADER = "vae-alpha"
NUM_SAMPLES_HEADER = "vae-num-samples"
P_VALUE_REASON_HEADER = "vae-p-value-reason"
IGNORED_COLUMNS_HEADER = "vae-ignored-columns"  # a JSON list in ASCII, cut before LONGEST_LIST bytes
WARNINGS_HEADER = "vae-warnings"  # likewise
LONGEST_LIST = 4096
INVALID_ROWS_HEADER = "vae-invalid-rows"  # with errors=report: how many rows could not be read

RESIZE_HEADER = "vae-resize"  # how image files were scaled

TIMEOUT_HEADER = "vae-timeout"  # seconds that the caller waits; the request is dropped afterwards
RECORD_HEADER = "vae-record"  # false: the rows count neither in model health nor in the score log
REQUEST_ID_HEADER = "x-request-id"
KEY_HEADER = "authorization"  # Bearer <key>

JSON_TYPE = "application/json"
NPY_TYPE = "application/x-npy"
ARROW_TYPE = "application/vnd.apache.arrow.stream"
CSV_TYPE = "text/csv"
NDJSON_TYPE = "application/x-ndjson"  # JSON values, one per line
PNG_TYPE = "image/png"
FORM_TYPE = "multipart/form-data"
IMAGE_TYPES = ("image/png", "image/jpeg")
PROBLEM_TYPE = "application/problem+json"

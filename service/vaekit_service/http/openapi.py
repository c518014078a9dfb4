"""The OpenAPI 3.1 document, built from the wire models. Knows the routes' form, none of the served models."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vaekit import __version__
from vaekit.bundle.manifest import Manifest
from vaekit.client import wire
from vaekit_service.codecs.requests import BODIES, OPTIONS
from vaekit_service.http.problems import ANSWERS
from vaekit_service.http.routes import OPERATIONS, PREFIXES

Schema = dict[str, Any]

REPLIES: dict[str, type[BaseModel]] = {
    "encode": wire.EncodeReply,
    "decode": wire.DecodeReply,
    "sample": wire.SampleReply,
    "elbo": wire.ElboReply,
}
_SUMMARIES = {
    "encode": "Rows to the posterior's mean and scale, q(z|x) = N(mu, sigma^2)",
    "decode": "Codes to the mean and scale of p(x|z), in the data's own units",
    "sample": "Draws of the model: z from the prior, and x from it",
    "elbo": "The ELBO of each row in nats, its terms, its score, its p-value and a verdict",
}
_SCOPES = {
    "": "the default model",
    "/models/{name}": "the latest version of a model",
    "/models/{name}/versions/{version}": "one version of a model",
}
_DESCRIPTION = (
    "A trained variational autoencoder as a service. Rows go in and come out in raw units; everything is in nats, per "
    "row, fully normalised. Arrays travel as application/x-npy as well: the body is the inputs' (or latents') array, "
    "options are query parameters, and the reply is one structured array with the fields of the JSON reply. Tables "
    "travel as application/vnd.apache.arrow.stream in the same manner, a column for each field."
)
_PARAMETERS = {
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
    "version": {"type": "integer", "minimum": 1},
}
_TIMEOUT: Schema = {
    "name": wire.TIMEOUT_HEADER,
    "in": "header",
    "required": False,
    "description": "seconds that the caller waits; after them the answer is a 504, and what was not begun is not run",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_STATUSES = sorted({kind.status for kind in ANSWERS.values()} - {499})  # 499 is for the log alone
_ARRAY = {"type": "string", "contentEncoding": "binary", "description": "an npy file, format version 1.0 or 2.0"}
_TABLE = {"type": "string", "contentEncoding": "binary", "description": "an Arrow IPC stream of uncompressed buffers"}
_BESIDE = "with bodies that are an array, a table or a picture"
_PICTURE = {"type": "string", "contentEncoding": "binary", "description": "one picture, for a model of pictures"}


def document() -> Schema:
    """The whole document; the same for every set of served models."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "vaekit", "version": __version__, "description": _DESCRIPTION},
        "paths": {**_inference_paths(), **_other_paths()},
        "components": {"schemas": _schemas(), "responses": {str(s): _problem(s) for s in _STATUSES}},
    }


def dumps(schema: Schema) -> bytes:
    """The document as it is served."""
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2)


def _schemas() -> Schema:
    requests = [body for bodies in BODIES.values() for body in bodies]
    models: list[type[BaseModel]] = [
        *requests,
        *REPLIES.values(),
        wire.ModelList,
        wire.ModelInUse,
        wire.Problem,
        Manifest,
    ]
    kinds: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in models]
    _, schema = models_json_schema(kinds, ref_template="#/components/schemas/{model}")
    definitions: Schema = schema["$defs"]
    return dict(sorted(definitions.items()))


def _inference_paths() -> Schema:
    return {f"{prefix}/{op}": {"post": _inference(op, prefix)} for prefix in PREFIXES for op in OPERATIONS}


def _inference(operation: str, prefix: str) -> Schema:
    content: Schema = {wire.JSON_TYPE: {"schema": {"anyOf": [_ref(body) for body in BODIES[_known(operation)]]}}}
    if operation != "sample":
        content |= {wire.NPY_TYPE: {"schema": _ARRAY}, wire.ARROW_TYPE: {"schema": _TABLE}}
    if operation in ("encode", "elbo"):
        content |= {kind: {"schema": _PICTURE} for kind in wire.PICTURE_TYPES}
    answered = {
        wire.JSON_TYPE: {"schema": _ref(REPLIES[operation])},
        wire.NPY_TYPE: {"schema": _ARRAY},
        wire.ARROW_TYPE: {"schema": _TABLE},
    }
    return {
        "operationId": "_".join([operation, *_names(prefix)]),
        "summary": _SUMMARIES[operation],
        "description": f"Answered by {_SCOPES[prefix]}.",
        "parameters": [*_path_parameters(prefix), *_query_parameters(operation), _TIMEOUT],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _response("The answer.", answered), **_problems(_STATUSES)},
    }


def _known(operation: str) -> Any:
    assert operation in BODIES
    return operation


def _names(prefix: str) -> list[str]:
    return [name for name in _PARAMETERS if f"{{{name}}}" in prefix]


def _path_parameters(prefix: str) -> list[Schema]:
    return [{"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]} for name in _names(prefix)]


def _query_parameters(operation: str) -> list[Schema]:
    """Options of a body that is rows alone, which has no place for them."""
    if operation == "sample":
        return []
    properties = OPTIONS[_known(operation)].model_json_schema().get("properties", {})
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"{_BESIDE}: {schema.get('description', '')}".rstrip(": "),
            "schema": {key: value for key, value in schema.items() if key not in ("title", "description", "default")},
        }
        for name, schema in properties.items()
    ]


def _other_paths() -> Schema:
    manifest = {"allOf": [_ref(Manifest), _ref(wire.ModelInUse)]}
    status = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    one = "/models/{name}"
    return {
        "/models": _get("models", "The models that are served", _json(_ref(wire.ModelList)), []),
        one: _get("model_name", "A model's manifest, and where it runs", _json(manifest), [404, 503], one),
        f"{one}/versions/{{version}}": _get(
            "model_name_version",
            "A version's manifest, and where it runs",
            _json(manifest),
            [404, 503],
            f"{one}/versions/{{version}}",
        ),
        "/healthz": _get("healthz", "Whether the process answers", _json(status), []),
        "/readyz": _get("readyz", "Whether requests will be answered", _json(status), [503]),
        "/metrics": _get("metrics", "Figures for Prometheus", {"text/plain": {"schema": {"type": "string"}}}, []),
    }


def _get(name: str, summary: str, content: Schema, problems: list[int], prefix: str = "") -> Schema:
    responses = {"200": _response("The answer.", content), **_problems(problems)}
    parameters = _path_parameters(prefix)
    return {"get": {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}}


def _problems(statuses: list[int]) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _problem(status: int) -> Schema:
    titles = sorted({kind.title for kind in ANSWERS.values() if kind.status == status})
    return _response(", or ".join(titles) + ".", {wire.PROBLEM_TYPE: {"schema": _ref(wire.Problem)}})


def _response(description: str, content: Schema) -> Schema:
    header = {"description": "the request's id", "schema": {"type": "string"}}
    return {"description": description, "headers": {wire.REQUEST_ID_HEADER: header}, "content": content}


def _json(schema: Schema) -> Schema:
    return {wire.JSON_TYPE: {"schema": schema}}


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}

"""Adds to FastAPI's OpenAPI document what FastAPI cannot see: raw bodies, their options, and problem replies.

Content types come from the tables of codecs, schemas from the wire models, statuses from the table of errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.routing import APIRoute
from pydantic import BaseModel, WithJsonSchema
from pydantic.json_schema import models_json_schema

from vaekit.bundle.manifest import Manifest
from vaekit.client import wire
from vaekit_service.codecs.lines.dialect import DECIMAL, DECIMALS, DELIMITER, DELIMITERS
from vaekit_service.codecs.negotiation import READERS, WRITERS
from vaekit_service.codecs.requests import BODIES, OPTIONS
from vaekit_service.http.problems import PROBLEM_KINDS
from vaekit_service.http.v2.schemas import V2InferRequest
from vaekit_service.messages import Operation

Schema = dict[str, Any]
Responses = dict[int | str, Schema]

DESCRIPTION = (
    "A trained variational autoencoder as a service. Rows are sent and returned in the units of the data. "
    "Log-likelihoods, KL and ELBO are in nats per row, including all normalising constants. Besides JSON, bodies and "
    "replies may be application/x-npy: the body is the array of inputs (or latents), options are query parameters, and "
    "the reply is one structured array with the fields of the JSON reply. Tables may be sent and returned as "
    "application/vnd.apache.arrow.stream in the same way, with one column per field."
)
ANSWERED = "The answer."
WITHOUT_KEY: Schema = {"security": []}  # of an operation that needs no key

# The handlers look up the model themselves, so any unknown name or version gets a 404 and not a validation error.
ModelName = Annotated[str, Path(json_schema_extra={"pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})]
ModelVersionNumber = Annotated[
    str, WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "default"}]}), Path()
]

# without 414, 431 and 501, which are answered before a request has a route; 499 appears only in the log; 409 is of an
# admin route
_STATUSES = sorted({kind.status for kind in PROBLEM_KINDS.values()} - {409, 414, 431, 499, 501})
_TIMEOUT: Schema = {
    "name": wire.TIMEOUT_HEADER,
    "in": "header",
    "required": False,
    "description": "seconds that the caller waits; after that the reply is a 504, and a job that has not started is "
    "dropped",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_RECORD: Schema = {
    "name": wire.RECORD_HEADER,
    "in": "header",
    "required": False,
    "description": "false: the rows count neither in the model health nor in the score log, as those of a test",
    "schema": {"type": "boolean", "default": True},
}
_HEADERS = [_TIMEOUT, _RECORD]
_REQUEST_ID = {wire.REQUEST_ID_HEADER: {"description": "the request's id", "schema": {"type": "string"}}}
_REF = "#/components/schemas/{model}"
_WITHOUT_JSON = "for bodies that are an array, a table or an image"


class DocumentedAPI(FastAPI):
    """FastAPI whose document also has the schemas that only `operation_extra` and `problems` refer to."""

    _writing = Lock()  # the first request for the document writes it in a thread, which takes half a second

    def openapi(self) -> Schema:
        with self._writing:
            if self.openapi_schema is None:
                components = super().openapi()["components"]
                components["schemas"] = dict(sorted((_schemas() | components["schemas"]).items()))
            assert self.openapi_schema is not None
            return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """The name of the route and its path parameters, for example elbo_name_version."""
    return "_".join([route.name, *route.param_convertors])


def operation_extra(operation: Operation) -> Schema:
    """The body of an operation, its query parameters and its headers."""
    body = {"required": True, "content": _request_content(operation)}
    return {"parameters": [*_query_parameters(operation), *_HEADERS], "requestBody": body}


def json_body(body: type[BaseModel]) -> Schema:
    """A JSON body that a handler reads itself."""
    schema = body.model_json_schema(ref_template=_REF)
    return {
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {wire.JSON_TYPE: {"schema": schema}}},
    }


def operation_responses() -> Responses:
    """The replies of an operation, other than its JSON reply."""
    arrays = [writer for writer in WRITERS if writer.media_type != wire.JSON_TYPE]
    content = {writer.media_type: {"schema": as_bytes(writer.description)} for writer in arrays}
    return {200: {**answered(), "content": content}, **problems(_STATUSES), **any_problem()}


def answered(schema: Schema | None = None) -> Schema:
    """A successful reply.

    Args:
        schema: schema of the JSON; None if the route has a response model.
    """
    content = {} if schema is None else {"content": {wire.JSON_TYPE: {"schema": schema}}}
    return {"description": ANSWERED, "headers": _REQUEST_ID, **content}


def problems(statuses: Iterable[int]) -> Responses:
    """Problem documents by status."""
    return {status: _problem(", or ".join(_titles(status)) + ".") for status in statuses}


def any_problem() -> Responses:
    """A problem document of any other status."""
    return {"default": _problem("Any other problem.")}


def _titles(status: int) -> list[str]:
    return sorted({kind.title for kind in PROBLEM_KINDS.values() if kind.status == status})


def _problem(description: str) -> Schema:
    content = {wire.PROBLEM_TYPE: {"schema": _ref(wire.Problem)}}
    return {"description": description, "headers": _REQUEST_ID, "content": content}


def _request_content(operation: Operation) -> Schema:
    bodies = [_ref(body) for body in BODIES[operation]]
    json = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
    return {
        reader.media_type: {"schema": json if reader.media_type == wire.JSON_TYPE else as_bytes(reader.description)}
        for reader in READERS
        if operation not in reader.not_for
    }


_OF_CSV: list[Schema] = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"For a body of CSV: {what}",
        "schema": {"type": "string", "enum": allowed, "default": allowed[0]},
    }
    for name, what, allowed in (
        (DELIMITER, "the character between cells", list(DELIMITERS)),
        (DECIMAL, "the decimal separator of numbers", list(DECIMALS)),
    )
]


def _query_parameters(operation: Operation) -> list[Schema]:
    """The options as query parameters, for bodies that contain only rows."""
    if operation == "sample":
        return []
    properties = OPTIONS[operation].model_json_schema(ref_template=_REF).get("properties", {})
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"{_WITHOUT_JSON}: {schema.get('description', '')}".rstrip(": "),
            **_as_text({key: value for key, value in schema.items() if key not in ("title", "description", "default")}),
        }
        for name, schema in properties.items()
    ] + _OF_CSV


def _as_text(schema: Schema) -> Schema:
    """The schema of a query parameter; an object is sent as JSON."""
    is_object = any(one.get("type") == "object" for one in schema.get("anyOf", ()))
    return {"content": {wire.JSON_TYPE: {"schema": schema}}} if is_object else {"schema": schema}


def as_bytes(description: str) -> Schema:
    """The schema of a body that is no JSON."""
    return {"type": "string", "contentEncoding": "binary", "description": description}


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


MODEL_DETAILS = {"allOf": [_ref(Manifest), _ref(wire.ModelInUse)]}  # the manifest, and the device of the model


def _schemas() -> Schema:
    """The schemas, by name, of the wire models that `_ref` refers to and of the models nested in them."""
    bodies = [body for several in BODIES.values() for body in several]
    models: list[type[BaseModel]] = [*bodies, Manifest, wire.ModelInUse, wire.Problem, V2InferRequest]
    _, schema = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    definitions: Schema = schema["$defs"]
    return definitions

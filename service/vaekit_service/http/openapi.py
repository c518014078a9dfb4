"""What FastAPI cannot see of our routes, for its OpenAPI document: raw bodies, their options, and problem replies.

The content types come from the codecs' tables, the schemas from the wire models, the statuses from the table of errors.
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
from vaekit_service.codecs.negotiation import READERS, WRITERS
from vaekit_service.codecs.requests import BODIES, OPTIONS
from vaekit_service.http.problems import ANSWERS
from vaekit_service.messages import Operation

Schema = dict[str, Any]
Responses = dict[int | str, Schema]

DESCRIPTION = (
    "A trained variational autoencoder as a service. Rows go in and come out in raw units; everything is in nats, per "
    "row, fully normalised. Arrays travel as application/x-npy as well: the body is the inputs' (or latents') array, "
    "options are query parameters, and the reply is one structured array with the fields of the JSON reply. Tables "
    "travel as application/vnd.apache.arrow.stream in the same manner, a column for each field."
)
ANSWERED = "The answer."

# Handlers look the model up themselves, and answer 404 to a name or version that there is not, however it is spelt.
ModelName = Annotated[str, Path(json_schema_extra={"pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})]
ModelVersionNumber = Annotated[str, WithJsonSchema({"type": "integer", "minimum": 1}), Path()]

# of a request that reached its route; 499 is for the log alone
_STATUSES = sorted({kind.status for kind in ANSWERS.values()} - {414, 431, 499, 501})
_TIMEOUT: Schema = {
    "name": wire.TIMEOUT_HEADER,
    "in": "header",
    "required": False,
    "description": "seconds that the caller waits; after them the answer is a 504, and what was not begun is not run",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_REQUEST_ID = {wire.REQUEST_ID_HEADER: {"description": "the request's id", "schema": {"type": "string"}}}
_BESIDE = "with bodies that are an array, a table or a picture"


class DocumentedAPI(FastAPI):
    """FastAPI whose document also has the schemas that only `operation_extra` and `problems` refer to."""

    _writing = Lock()  # the document is written in a thread of the first request for it: it takes half a second

    def openapi(self) -> Schema:
        with self._writing:
            if self.openapi_schema is None:
                components = super().openapi()["components"]
                components["schemas"] = dict(sorted((_schemas() | components["schemas"]).items()))
            assert self.openapi_schema is not None
            return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """The route's name and its path parameters, as in elbo_name_version."""
    return "_".join([route.name, *route.param_convertors])


def operation_extra(operation: Operation) -> Schema:
    """The body of an operation, the options of a body that is rows alone, and the timeout."""
    body = {"required": True, "content": _request_content(operation)}
    return {"parameters": [*_query_parameters(operation), _TIMEOUT], "requestBody": body}


def operation_responses() -> Responses:
    """What an operation answers beside its JSON reply."""
    arrays = [writer for writer in WRITERS if writer.media_type != wire.JSON_TYPE]
    content = {writer.media_type: {"schema": _bytes(writer.holds)} for writer in arrays}
    return {200: {**answered(), "content": content}, **problems(_STATUSES)}


def answered(schema: Schema | None = None) -> Schema:
    """A successful reply; with a schema for its JSON where no response model gives one."""
    content = {} if schema is None else {"content": {wire.JSON_TYPE: {"schema": schema}}}
    return {"description": ANSWERED, "headers": _REQUEST_ID, **content}


def problems(statuses: Iterable[int]) -> Responses:
    """Problem documents by status."""
    return {status: _problem(", or ".join(_titles(status)) + ".") for status in statuses}


def any_problem() -> Responses:
    """A problem document of any other status."""
    return {"default": _problem("Any other problem.")}


def _titles(status: int) -> list[str]:
    return sorted({kind.title for kind in ANSWERS.values() if kind.status == status})


def _problem(description: str) -> Schema:
    content = {wire.PROBLEM_TYPE: {"schema": _ref(wire.Problem)}}
    return {"description": description, "headers": _REQUEST_ID, "content": content}


def _request_content(operation: Operation) -> Schema:
    json = {"anyOf": [_ref(body) for body in BODIES[operation]]}
    return {
        reader.media_type: {"schema": json if reader.media_type == wire.JSON_TYPE else _bytes(reader.holds)}
        for reader in READERS
        if operation not in reader.not_for
    }


def _query_parameters(operation: Operation) -> list[Schema]:
    """Options of a body that is rows alone, which has no place for them."""
    if operation == "sample":
        return []
    properties = OPTIONS[operation].model_json_schema().get("properties", {})
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


def _bytes(holds: str) -> Schema:
    return {"type": "string", "contentEncoding": "binary", "description": holds}


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


MODEL_DETAILS = {"allOf": [_ref(Manifest), _ref(wire.ModelInUse)]}  # the manifest, and where the model runs


def _schemas() -> Schema:
    """By name, the models that `_ref` refers to, and those in them."""
    bodies = [body for several in BODIES.values() for body in several]
    models: list[type[BaseModel]] = [*bodies, Manifest, wire.ModelInUse, wire.Problem]
    _, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    definitions: Schema = schema["$defs"]
    return definitions

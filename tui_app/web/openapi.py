"""GET /openapi.json: OpenAPI 3.1 made from the routes, the Structs and the table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engines.errors import CODES
from engines.looks import LOOKS
from engines.operations import OPERATIONS
from engines.query import Sort
from tui_app import wire
from tui_app.web import guide

if TYPE_CHECKING:
    from tui_app.web.api import Route

_REF: Final = "#/components/schemas/{name}"
_ALWAYS: Final = (400, 401, 403, 421, 422, 500)
_WITH_BODY: Final = (408, 413, 415)
_LIVE: Final[tuple[Any, ...]] = (wire.ClientMessage, wire.ServerMessage, guide.ServerMessage, guide.ClientMessage)


def document(routes: Sequence[Route], *, server: str = "/") -> dict[str, Any]:
    """The whole document; `server` is the address its paths are below."""
    structs = [route.answer for route in routes if _is_type(route.answer)]
    structs += [route.body for route in routes if _is_type(route.body)]
    operations = [spec.struct for spec in OPERATIONS.values()]
    structs += [route.events[1] for route in routes if route.events is not None]
    looks = [spec.struct for spec in LOOKS.values()]
    wanted = [*structs, *operations, *(look for look in looks if look not in operations), *_LIVE, wire.Problem, Sort]
    schemas, components = msgspec.json.schema_components(wanted, ref_template=_REF)
    by_type = {_key(kind): schema for kind, schema in zip(wanted, schemas, strict=True)}
    for name, part, choices in (("CreateRequest", "operation", operations), ("LookRequest", "look", looks)):
        if name in components:
            components[name]["properties"][part] = {
                "oneOf": [by_type[_key(struct)] for struct in choices],
                "discriminator": {"propertyName": "op"},
            }
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = plain(route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskdeck",
            "version": wire.program_version(),
            "description": "Durable archive, media and file tasks. Over the Unix socket no login is needed; over TCP "
            "every route but the pages needs a bearer token (`taskdeck web token`).",
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "x-error-codes": {code: {"status": info.http, "meaning": info.meaning} for code, info in CODES.items()},
    }


def _operation(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    from tui_app.web.guard import PUBLIC

    problem = {"application/problem+json": {"schema": by_type[_key(wire.Problem)]}}
    statuses = {*_ALWAYS, *route.errors, *(_WITH_BODY if route.body is not None else ())}
    answer: dict[str, Any] = {"description": "Done."}
    if _is_type(route.answer):
        answer["content"] = {"application/json": {"schema": by_type[_key(route.answer)]}}
    elif route.events is not None:
        name, data = route.events
        answer["description"] = f"Events named `{name}`, with an `id`; `data` is JSON."
        answer["content"] = {route.answer: {"schema": {"type": "string"}, "x-data-schema": by_type[_key(data)]}}
    elif route.answer and route.status == 200:
        answer["content"] = {kind: {} for kind in route.answer.split(", ")}
    found: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', plain(route.path).lower()).strip('_')}",
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {
            str(route.status): answer,
            **{str(status): {"description": "Refused or failed.", "content": problem} for status in sorted(statuses)},
        },
    }
    if route.events is not None:
        found["responses"]["204"] = {"description": "The task has ended, and `Last-Event-ID` is its last event."}
    if route.body is not None:
        content = (
            {"application/json": {"schema": by_type[_key(route.body)]}} if _is_type(route.body) else {route.body: {}}
        )
        found["requestBody"] = {"required": _is_type(route.body), "content": content}
    if route.status == 101:
        answer["description"] = "The connection speaks WebSocket from here on."
        # OpenAPI has no words for messages (AsyncAPI does); their schemas are here all the same.
        sent, received, guide_sent, guide_received = (by_type[_key(kind)] for kind in _LIVE)
        found["x-websocket"] = {
            wire.SUBPROTOCOL: {"client": sent, "server": received},
            "": {"client": guide_received, "server": guide_sent},
        }
    if plain(route.path) in PUBLIC:
        found["security"] = []
    if plain(route.path) == "/dashboard":
        found["security"] = []
        found["responses"]["303"] = {"description": "To the login page."}
    return found


def plain(path: str) -> str:
    """A route's path without the patterns of its parameters."""
    return re.sub(r"\{(\w+):[^}]+\}", r"{\1}", path)


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)[:}]", route.path)
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": item.name, "in": item.place, "required": False, "description": item.help, "schema": item.schema}
        for item in route.parameters
    ]


def _is_type(answer: Any) -> bool:
    return answer is not None and not isinstance(answer, str)


def _key(kind: Any) -> str:
    return repr(kind)

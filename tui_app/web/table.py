"""The operations table as JSON, for forms, completion and programs."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from engines.operations import OPERATIONS, Field, OperationSpec, fields
from tui_app import wire
from tui_app.web.problem import json_response


async def operations(request: web.Request) -> web.Response:
    """GET /api/v1/operations."""
    return json_response([operation_info(spec) for spec in OPERATIONS.values()])


def operation_info(spec: OperationSpec) -> wire.OperationInfo:
    """One row for the wire."""
    return wire.OperationInfo(
        name=spec.name,
        kind=spec.kind.value,
        summary=spec.summary,
        fields=[_field(field) for field in fields(spec.struct)],
        examples=list(spec.examples),
        writes=spec.writes,
    )


def _field(field: Field) -> wire.OperationField:
    default: Any = field.default
    return wire.OperationField(
        name=field.name,
        type="choice" if field.choices else field.type.__name__,
        required=field.required,
        repeated=field.repeated,
        positional=field.positional,
        accepts=field.accepts.value,
        advanced=field.advanced,
        help=field.help,
        default=list(default) if isinstance(default, tuple) else default,
        choices=list(field.choices),
        minimum=field.ge,
        maximum=field.le,
    )

"""The OpenAPI document (3.1), made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from reliquary import __version__
from reliquary.web.api.models import FailureAnswer
from reliquary.web.api.operations import Operation

REFERENCE = "#/components/schemas/{model}"


def document(operations: Sequence[Operation], base: str) -> dict[str, Any]:
    """The whole document.

    Args:
        base: absolute address of the API.
    """
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r":path\}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Reliquary", "version": __version__},
        "servers": [{"url": base}],
        "security": [{"basic": []}, {"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


class _Schemas:
    """References to the schemas of all types in use, and their one list of definitions."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        inputs: list[tuple[int, JsonSchemaMode, TypeAdapter[Any]]] = []
        for at, each in enumerate(operations):
            if each.body is not None:
                inputs.append((at, "validation", TypeAdapter(each.body)))
            if each.answer is not None:
                inputs.append((at, "serialization", TypeAdapter(each.answer)))
        inputs.append((-1, "serialization", TypeAdapter(FailureAnswer)))
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE)
        self.definitions = rest.get("$defs", {})
        self._found = found
        self._order = {id(each): at for at, each in enumerate(operations)}
        self.failure = found[-1, "serialization"]

    def of(self, operation: Operation, mode: JsonSchemaMode) -> Any:
        """The schema of an operation's body (``validation``) or answer (``serialization``)."""
        return self._found[self._order[id(operation)], mode]


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done"}
    if operation.answer is not None:
        answer["content"] = _json(schemas.of(operation, "serialization"))
    made: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}_{re.sub(r'[^a-z]+', '_', operation.path).strip('_')}",
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {
            str(operation.status): answer,
            "default": {"description": "What went wrong", "content": _json(schemas.failure)},
        },
    }
    if operation.body is not None:
        made["requestBody"] = {"required": True, "content": _json(schemas.of(operation, "validation"))}
    return made


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    inside = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in re.findall(r"\{([a-z]+)", operation.path)
    ]
    asked = [
        {"name": name, "in": "query", "required": False, "description": meaning, "schema": text}
        for name, meaning in operation.query.items()
    ]
    return inside + asked

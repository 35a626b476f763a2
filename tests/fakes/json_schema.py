"""Checks values against docs/schemas: the part of JSON Schema that is used there, strictly.

A key that a schema does not name is a mistake here, though a reader has to pass over it.
"""

from __future__ import annotations

import json
from typing import Any

from fakes.documented import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "schemas" / "output.schema.json").read_text())
_KNOWN = {"$ref", "anyOf", "const", "description", "enum", "items", "properties", "required"}
_KNOWN |= {"additionalProperties", "type"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def mistakes(value: Any, name: str) -> list[str]:
    """Return what is wrong with a value that has to be as `$defs` says under the name."""
    return _mistakes(value, SCHEMA["$defs"][name], name)


def _mistakes(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    assert schema.keys() <= _KNOWN, schema.keys() - _KNOWN
    if "$ref" in schema:
        return mistakes(value, schema["$ref"].removeprefix("#/$defs/"))
    if "anyOf" in schema:
        tried = [_mistakes(value, each, where) for each in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if wrong := _in_itself(value, schema):
        return [f"{where}: {value!r} is not {wrong}"]
    if isinstance(value, list):
        every = enumerate(value)
        return [m for n, each in every for m in _mistakes(each, schema["items"], f"{where}[{n}]")]
    return _in_object(value, schema, where) if isinstance(value, dict) else []


def _in_itself(value: Any, schema: dict[str, Any]) -> str:
    """Return what the value should be, empty if it is."""
    if "const" in schema and value is not schema["const"]:
        return repr(schema["const"])
    if "enum" in schema and value not in schema["enum"]:
        return f"one of {schema['enum']}"
    return str(schema["type"]) if "type" in schema and not _is_of(value, schema["type"]) else ""


def _is_of(value: Any, names: str | list[str]) -> bool:
    wanted = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "boolean" in wanted
    return any(isinstance(value, _TYPES[name]) for name in wanted)


def _in_object(value: dict[str, Any], schema: dict[str, Any], where: str) -> list[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", False)
    found = [f"{where}: no {key!r}" for key in schema.get("required", []) if key not in value]
    for key, each in value.items():
        if key in properties:
            found += _mistakes(each, properties[key], f"{where}.{key}")
        elif isinstance(more, dict):
            found += _mistakes(each, more, f"{where}.{key}")
        elif not more:
            found.append(f"{where}: {key!r} is in no schema")
    return found

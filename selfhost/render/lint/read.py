"""Files -> `Site`: which format each is of, by its name and by what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.messages import word
from selfhost.render.lint import compose, kubernetes, units
from selfhost.render.lint.site import Site, note
from selfhost.render.lint.values import expressions
from selfhost.render.lint.yaml_text import documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.render.lint.site import Beside, Document

_YAML = (".yaml", ".yml", ".json")
_PLAIN = (".conf", ".conf.template", ".conf.example", ".env", ".env.example")
ENDINGS = (*_YAML, *_PLAIN, *units.ENDINGS)
"""Of the files that are read; others in a directory are passed over."""
_SILENT = ("kustomization.yaml", "kustomization.yml", "prometheus.yml", "prometheus.yaml")
"""Parts of what we render that no rule is about."""


def read(files: Mapping[str, str], beside: Beside) -> Site:
    """Everything that files say. Raises IntegrityError for one that cannot be read, UsageError when none is known."""
    site = Site(beside=beside, texts=dict(files))
    known = 0
    parsed = {path: documents(path, text) for path, text in sorted(files.items()) if path.endswith(_YAML)}
    for listed in parsed.values():
        for document in listed:
            kubernetes.read_config_maps(site, document)
    for path, text in sorted(files.items()):
        if path in parsed:
            # A loop, not any(): every document is to be read.
            known += sum([_document(site, document, files) for document in parsed[path]])
        elif unit := units.changed_unit(path):
            if unit not in files:
                site.notes.append(note(path, "render_lint.drop_in", unit=unit))
        elif path.endswith(units.ENDINGS):
            units.read(site, path, text, files)
            known += 1
        elif path.endswith(_PLAIN):
            site.configs.append((path, text))
            known += 1
        else:
            site.notes.append(note(path, "render_lint.not_known"))
    if not known:
        raise UsageError("render_lint.nothing", files=", ".join(sorted(files)) or word("none"))
    return site


def _document(site: Site, document: Document, files: Mapping[str, str]) -> bool:
    """Take one document; whether its kind is known."""
    data = document.data
    if not isinstance(data, dict):
        site.notes.append(note(document.where(""), "render_lint.not_known"))
        return False
    if isinstance(data.get("services"), dict):
        compose.read(site, document, files)
    elif isinstance(data.get("kind"), str) and "apiVersion" in data:
        kubernetes.read(site, document)
    elif isinstance(data.get("groups"), list) or isinstance(data.get("panels"), list):
        site.expressions.extend((document.where(place), text) for place, text in expressions(data, ""))
    elif not document.file.endswith(_SILENT):
        site.notes.append(note(document.where(""), "render_lint.not_known"))
        return False
    return True

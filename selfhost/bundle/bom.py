"""The bill of materials of a bundle: CycloneDX 1.6, with every model, file and wheel, its digest and its terms.

Source: CycloneDX 1.6 JSON schema (ECMA-424), "machine-learning-model" and "modelCard". Licences are SPDX ids where this
module knows the id, else the vendor's name with where its text is; texts that came with a model go along whole.
"""

from __future__ import annotations

import string
import uuid
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from selfhost.bundle.spdx import SPDX
from selfhost.records import dataclass
from selfhost.weights.places.names import is_licence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selfhost.bundle.risks import Risk
    from selfhost.weights.lock import LockedFile, Origin

SPEC_VERSION = "1.6"
_NAMESPACE = uuid.UUID("6f5a0d52-6c0b-4c41-9a55-0b6c1d1a7a3e")
_UNRESERVED = string.ascii_letters + string.digits + "-._~"


@dataclass(frozen=True, kw_only=True, slots=True)
class BomBundle:
    """What the bill is of."""

    label: str
    tool_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BomModel:
    """One model of a bundle."""

    name: str
    variant: str
    origin: Origin
    manifest: str
    """sha256 of its manifest in the bundle."""
    files: tuple[LockedFile, ...]
    licence_id: str
    """SPDX id, or the vendor's name; empty when nothing is known of its terms."""
    licence_url: str = ""
    licence_texts: tuple[tuple[str, str], ...] = ()
    """(path, text) of what came with the model."""
    accepted_at: str = ""
    """ISO 8601, UTC; empty when the terms did not have to be accepted here."""
    architecture: str = ""
    """As in config.json: `DeepseekV3ForCausalLM`."""
    family: str = ""
    summary: str = ""
    risks: tuple[Risk, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BomWheel:
    """One wheel of a bundle."""

    name: str
    version: str
    file_name: str
    sha256: str
    size: int
    licence: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BomEngine:
    """What is installed together: an engine, or selfhost itself."""

    name: str
    version: str
    wheels: tuple[BomWheel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BomImage:
    """One container image of a bundle."""

    name: str
    sha256: str
    """Of its manifest, or of the index of its manifests."""
    platforms: tuple[str, ...]
    size: int
    """Bytes of all its contents."""


def bill(
    bundle: BomBundle, models: Sequence[BomModel], engines: Sequence[BomEngine], images: Sequence[BomImage] = ()
) -> dict[str, Any]:
    """The bill as a JSON object; the same values give the same bytes."""
    root = f"bundle:{bundle.label}"
    wheels = {wheel.sha256: wheel for engine in engines for wheel in engine.wheels}
    components = [_model(model) for model in models]
    components += [_engine(engine) for engine in engines]
    components += [_image(image) for image in images]
    components += [_wheel(wheel) for _, wheel in sorted(wheels.items())]
    parts = [_model_ref(model) for model in models] + [_engine_ref(engine) for engine in engines]
    depends = {root: parts + [_image_ref(image) for image in images]}
    depends |= {_engine_ref(engine): [_wheel_ref(wheel) for wheel in engine.wheels] for engine in engines}
    component = {"type": "data", "bom-ref": root, "name": bundle.label}
    tool = {"type": "application", "name": "selfhost", "version": bundle.tool_version}
    contents = "\n".join(
        [bundle.label, *(model.manifest for model in models), *(one.sha256 for one in images), *sorted(wheels)]
    )
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        # Of what is in it: the same contents have the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, contents)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [tool]},
            "component": component,
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in sorted(depends.items())],
    }


def _model_ref(model: BomModel) -> str:
    return f"model:{model.name}/{model.variant}"


def _engine_ref(engine: BomEngine) -> str:
    return f"engine:{engine.name}@{engine.version}"


def _wheel_ref(wheel: BomWheel) -> str:
    return f"wheel:{wheel.sha256}"


def _model(model: BomModel) -> dict[str, Any]:
    origin = model.origin
    said = {
        "selfhost:manifest:sha256": model.manifest,
        # Where a folder lay on the machine of the sender is nobody's business.
        "selfhost:source": f"{origin.kind}:{PurePath(origin.id).name if origin.kind == 'directory' else origin.id}",
        "selfhost:source:revision": origin.revision or "",
        "selfhost:licence:text": ", ".join(path for path, _ in model.licence_texts) or "absent",
        "selfhost:licence:accepted_at": model.accepted_at,
    }
    properties = _properties(said)
    properties += [{"name": f"selfhost:risk:{r.kind}", "value": r.finding.message.what} for r in model.risks]
    parameters: dict[str, Any] = {"task": "text-generation"}
    parameters |= _said({"architectureFamily": model.family, "modelArchitecture": model.architecture})
    references = [("license", model.licence_url)]
    if origin.kind == "mirror":
        references.append(("distribution", origin.id))
    return {
        "type": "machine-learning-model",
        "bom-ref": _model_ref(model),
        "name": model.name,
        "version": model.variant,
        **_said({"description": model.summary, "purl": _model_purl(origin)}),
        "licenses": _licences(model),
        "externalReferences": [{"type": kind, "url": url} for kind, url in references if url.startswith("http")],
        "modelCard": {"modelParameters": parameters},
        "properties": properties,
        "components": [_file(model, file) for file in model.files],
    }


def _model_purl(origin: Origin) -> str:
    """Package URL of a repository of the hub; empty for other places, for which there is no type."""
    if origin.kind != "huggingface":
        return ""
    version = f"@{_quoted(origin.revision)}" if origin.revision else ""
    return f"pkg:huggingface/{_quoted(origin.id, '/')}{version}"


def _file(model: BomModel, file: LockedFile) -> dict[str, Any]:
    component = {
        "type": "file",
        "bom-ref": f"{_model_ref(model)}/{file.path}",
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": _properties({"selfhost:size": str(file.size)}),
    }
    return component | ({"description": "terms of use"} if is_licence(file.path) else {})


def _licences(model: BomModel) -> list[dict[str, Any]]:
    """The terms as the recipe has them, with the text where exactly one came along; further texts by their path."""
    texts = list(model.licence_texts)
    terms = _licence(model.licence_id or "not known")
    if model.licence_url.startswith("http"):
        terms["url"] = model.licence_url
    if len(texts) == 1:
        terms["text"] = _text(texts.pop()[1])
    return [{"license": terms}, *({"license": {"name": path, "text": _text(text)}} for path, text in texts)]


def _licence(name: str) -> dict[str, Any]:
    return {"id": name} if name in SPDX else {"name": name}


def _text(content: str) -> dict[str, str]:
    return {"contentType": "text/plain", "content": content}


def _engine(engine: BomEngine) -> dict[str, Any]:
    ref = _engine_ref(engine)
    return {"type": "application", "bom-ref": ref, "name": engine.name, "version": engine.version}


def _image_ref(image: BomImage) -> str:
    return f"image:{image.name}@sha256:{image.sha256}"


def _image(image: BomImage) -> dict[str, Any]:
    # purl-spec, type oci: the last part of the name, the digest for a version, the rest as where it is from.
    repository, _, tag = image.name.rpartition(":") if ":" in image.name.rpartition("/")[2] else (image.name, "", "")
    asked = f"repository_url={_quoted(repository, '/')}" + (f"&tag={_quoted(tag)}" if tag else "")
    said = {"selfhost:platforms": ", ".join(image.platforms), "selfhost:size": str(image.size)}
    return {
        "type": "container",
        "bom-ref": _image_ref(image),
        "name": repository,
        **_said({"version": tag}),
        "purl": f"pkg:oci/{_quoted(repository.rpartition('/')[2])}@{_quoted(f'sha256:{image.sha256}')}?{asked}",
        "hashes": [{"alg": "SHA-256", "content": image.sha256}],
        "properties": _properties(said),
    }


def _wheel(wheel: BomWheel) -> dict[str, Any]:
    component = {
        "type": "library",
        "bom-ref": _wheel_ref(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "purl": f"pkg:pypi/{_quoted(canonicalize_name(wheel.name))}@{_quoted(wheel.version)}",
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "properties": _properties({"selfhost:file": wheel.file_name, "selfhost:size": str(wheel.size)}),
    }
    return component | ({"licenses": [{"license": _licence(wheel.licence)}]} if wheel.licence else {})


def _quoted(text: str, kept: str = "") -> str:
    """Percent-encoded as in an address (RFC 3986), which a package URL is."""
    return "".join(chr(b) if chr(b) in _UNRESERVED + kept else f"%{b:02X}" for b in text.encode())


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _said(values: Mapping[str, str]) -> dict[str, str]:
    """Without what is empty."""
    return {name: value for name, value in values.items() if value}


def licence_list(models: Iterable[BomModel]) -> dict[str, Any]:
    """The terms of all models with their acceptances, for people: what is `needs_review` nobody has vouched for."""
    return {
        "schema_version": 1,
        "models": [
            {
                "model": f"{model.name}/{model.variant}",
                "id": model.licence_id or None,
                "url": model.licence_url or None,
                "accepted_at": model.accepted_at or None,
                "texts": dict(model.licence_texts),
                "needs_review": model.licence_id not in SPDX and not model.accepted_at,
            }
            for model in models
        ],
    }

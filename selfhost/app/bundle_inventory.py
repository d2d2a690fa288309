"""What a bundle says of its contents: bill of materials, terms with acceptances, risks; and what would fail over there.

inventory(label, models, wheels, ...)    documents for the inventory's artifact, and findings
check_target(path, needs, ...)           findings about the machine of `--for`; refuses what cannot run
start_text(info, own, ...)               START-HERE.txt of a volume
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import canonicalize_name

from selfhost import __version__
from selfhost.app import bundle_target, licence
from selfhost.app.wheels_bill import bom_engine
from selfhost.bundle import canonical, profile, risks, start_here
from selfhost.bundle.bom import BomBundle, BomEngine, BomImage, BomModel, bill, licence_list
from selfhost.bundle.closure import engine_closure, model_closure
from selfhost.bundle.facts import read_facts, read_licences
from selfhost.engines import environment
from selfhost.engines.lock import parse_lock
from selfhost.engines.specs import find_spec
from selfhost.engines.wheel_tags import lowest_glibc
from selfhost.errors import UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from selfhost.bundle.images import Image
    from selfhost.bundle.layout import BundleInfo
    from selfhost.bundle.profile import Needs
    from selfhost.engines.needs import Machine
    from selfhost.engines.specs import EngineSpec
    from selfhost.engines.wheel_file import Wheel
    from selfhost.findings import Finding
    from selfhost.hardware.types import HardwareSnapshot
    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe
    from selfhost.weights.lock import ModelLock

BOM_NAME, RISKS_NAME, LICENCES_NAME = "bom.cdx.json", "risks.json", "licences.json"
_OWN = "selfhost"
_MAX_NAME = 255


class PackedModel(NamedTuple):
    """A model as it goes into a bundle."""

    directory: Path
    lock: ModelLock
    manifest: str
    """sha256 of its manifest."""
    recipe: Recipe | None


class PackedWheels(NamedTuple):
    """Wheels that are installed together."""

    spec: EngineSpec | None
    """None: selfhost itself."""
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What a bundle says of its contents."""

    documents: Mapping[str, bytes]
    """By file name; the same contents give the same bytes."""
    findings: tuple[Finding, ...]
    """Errors: the bundle would not serve behind the gap."""


def inventory(
    label: str,
    models: Sequence[PackedModel],
    wheels: Sequence[PackedWheels],
    home: Home,
    images: Sequence[Image] = (),
) -> Inventory:
    """Read small files and first bytes of all models, and say what is in the bundle.

    Raises MissingError for files that this user may not read.
    """
    carried = {model.lock.source.id for model in models}
    found: list[Finding] = []
    bills: list[BomModel] = []
    listed: dict[str, tuple[risks.Risk, ...]] = {}
    for model in models:
        name = f"{model.lock.recipe}/{model.lock.variant}"
        facts = read_facts(name, model.directory, model.lock.files)
        listed[name] = risks.risks(facts)
        found += [risk.finding for risk in listed[name]]
        found += model_closure(facts, carried)
        bills.append(_bill_of(model, facts, listed[name], home))
    for part in wheels:
        if part.spec is not None:
            entries = parse_lock(environment.lock_file(part.spec).read_text())
            versions: dict[str, str] = {canonicalize_name(wheel.name): wheel.version for wheel in part.wheels}
            folder = next((str(wheel.path.parent) for wheel in part.wheels), "DIR")
            found += engine_closure(entries, versions, folder)
    bundle = BomBundle(label=label, tool_version=__version__)
    documents = {
        BOM_NAME: bill(bundle, bills, [_engine(part) for part in wheels], [_image(image) for image in images]),
        RISKS_NAME: risks.document(listed),
        LICENCES_NAME: licence_list(bills),
    }
    return Inventory(
        documents={name: canonical.encode(document) for name, document in documents.items()}, findings=tuple(found)
    )


def check_target(path: Path, needs: Needs, models: Sequence[tuple[str, Path]] = ()) -> list[Finding]:
    """Warnings about the machine that a profile tells of.

    models: names with directories. Raises UsageError for a file that is no profile, MissingError when the bundle could
    not run on that machine.
    """
    target = read_target(path)
    found = profile.findings(target, needs)
    # What only quantizes says nothing of the engine that will serve.
    serving = needs.engine if needs.engine and needs.engine.serves else None
    found += bundle_target.model_findings(models, target, serving)
    profile.refuse(found, path)
    return found


def read_target(path: Path) -> HardwareSnapshot:
    """The machine that a profile tells of. Raises UsageError for a file that is none."""
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError("target.not_a_profile", path=path, detail=error) from error
    if not isinstance(body, dict):
        raise UsageError("target.not_a_profile", path=path, detail="it is no JSON object")
    return profile.target_from_dict(body, path)


def start_text(  # noqa: PLR0913 - what the text tells
    info: BundleInfo,
    own: Sequence[Wheel],
    engine: str = "",
    images: Sequence[str] = (),
    *,
    signed: bool,
    machine: Machine,
) -> bytes:
    """START-HERE.txt of the volume that `info` is of.

    own: wheels of selfhost itself. engine: after `engine install`; empty without one. images: their names. machine:
    that wheels are for.
    """
    glibc = lowest_glibc((wheel.path.name for wheel in own), machine.machine)
    volumes = {blob.sha256: volume.number for volume in reversed(info.volumes) for blob in volume.blobs}
    start = start_here.Start(
        label=info.label,
        id=info.id,
        created=info.created,
        tool=info.tool,
        volume=info.volume,
        volumes=tuple(volume.label for volume in info.volumes),
        models=tuple(model.name for model in info.models),
        size=info.size_bytes,
        signed=signed,
        engine=engine,
        serves=not engine or find_spec(engine).serves,
        images=tuple(images),
        python=".".join(map(str, machine.python)),
        machine=machine.machine,
        glibc=".".join(map(str, glibc)) if glibc else "",
        wheels=tuple(
            start_here.OwnWheel(wheel.path.name, wheel.sha256, volumes[wheel.sha256])
            for wheel in own
            if wheel.sha256 in volumes
        ),
    )
    return start_here.text(start).encode()


def _bill_of(model: PackedModel, facts: risks.ModelFacts, found: tuple[risks.Risk, ...], home: Home) -> BomModel:
    recipe, lock = model.recipe, model.lock
    config = facts.configs.get("config.json", {})
    names = config.get("architectures")
    terms = recipe.licence if recipe else None
    return BomModel(
        name=lock.recipe,
        variant=lock.variant,
        origin=lock.source,
        manifest=model.manifest,
        files=lock.files,
        licence_id=terms.id if terms else "",
        licence_url=terms.url if terms else "",
        licence_texts=tuple(read_licences(model.directory, lock.files).items()),
        accepted_at=licence.accepted_at(home, terms) if terms else "",
        architecture=_word(names[0]) if isinstance(names, list) and names else "",
        family=recipe.family if recipe else _word(config.get("model_type")),
        summary=recipe.summary if recipe else "",
        risks=found,
    )


def _word(value: object) -> str:
    """A name in a configuration, which may say anything; empty for what is none."""
    return value[:_MAX_NAME] if isinstance(value, str) and value.isprintable() else ""


def _image(image: Image) -> BomImage:
    return BomImage(name=image.entry.name, sha256=image.entry.sha256, platforms=image.platforms, size=image.size_bytes)


def _engine(part: PackedWheels) -> BomEngine:
    name, version = (part.spec.engine, part.spec.version) if part.spec else (_OWN, __version__)
    return bom_engine(name, version, part.wheels)

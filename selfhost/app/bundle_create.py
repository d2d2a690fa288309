"""`bundle create`: models of the store, on media that are carried to a machine without a network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import __version__
from selfhost.app import bundle_gather, bundle_images, bundle_inventory
from selfhost.app.bundle_gather import Gathered, Have
from selfhost.app.bundle_request import NO_ENGINE, CreateRequest
from selfhost.app.bundle_volumes import check_space, distribute
from selfhost.bundle import layout, modelpack, pack
from selfhost.bundle.layout import ModelRef
from selfhost.bundle.names import is_label
from selfhost.bundle.pack import BundlePlan, Finishing, Packed
from selfhost.bundle.profile import Needs, machine_of
from selfhost.bundle.write import Content
from selfhost.engines.install import read_driver_version, this_machine
from selfhost.engines.needs import suited
from selfhost.engines.specs import builds, find_spec
from selfhost.errors import UsageError
from selfhost.records import dataclass
from selfhost.units import MIB
from selfhost.weights.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.app.bundle_inventory import PackedWheels
    from selfhost.bundle.images import Image
    from selfhost.bundle.layout import BundleInfo
    from selfhost.engines.needs import Machine
    from selfhost.findings import Finding
    from selfhost.home import Home

_PER_BLOB_BYTES = 512
"""Of `bundle.json` and SHA256SUMS for one content, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A bundle that is to be made, and what is to be known about it."""

    bundle: BundlePlan
    findings: tuple[Finding, ...]
    """What would fail or surprise on the other side."""
    wheels: tuple[PackedWheels, ...]
    machine: Machine
    """That wheels are chosen for."""
    images: tuple[Image, ...] = ()

    def texts(self, info: BundleInfo, *, signed: bool) -> dict[str, bytes]:
        """The files of a volume that are for people without selfhost."""
        own = next((part.wheels for part in self.wheels if part.spec is None), ())
        engine = next((part.spec.name for part in self.wheels if part.spec), "")
        checker = Path(layout.__file__).with_name("inside_verify.py")
        return {
            layout.START_NAME: bundle_inventory.start_text(
                info, own, engine, [image.entry.name for image in self.images], signed=signed, machine=self.machine
            ),
            layout.VERIFY_NAME: checker.read_bytes(),
        }


def plan(request: CreateRequest, home: Home) -> Planned:
    """What would be written where; nothing is written to media. Raises UsageError, NoError, NoSpaceError and more."""
    _check_places(request, home)
    if request.engine != NO_ENGINE:
        request = replace(request, engine=_engine(request))
    machine = _machine(request)
    gathered = _gather(request, home, machine)
    label = _label(request, gathered)
    said = bundle_inventory.inventory(label, gathered.models, gathered.wheels, home, gathered.images)
    findings = list(said.findings)
    parts = [gathered, bundle_gather.documents(said.documents)]
    if request.target is not None:
        needs = _needs(gathered)
        models = [(f"{one.lock.recipe}/{one.lock.variant}", one.directory) for one in gathered.models]
        findings += bundle_inventory.check_target(request.target, needs, models)
        parts.append(bundle_gather.profile(request.target))
    return Planned(
        bundle=_plan(request, label, _together(parts)),
        findings=tuple(findings),
        wheels=gathered.wheels,
        images=gathered.images,
        machine=machine or this_machine(),
    )


def _check_places(request: CreateRequest, home: Home) -> None:
    """Raises UsageError for a place where the store would take volumes for its own."""
    for to in request.to:
        for folder in (home.models, home.blobs, home.wheels, home.wheelhouses, home.images, home.bundles, home.recipes):
            if to.resolve().is_relative_to(folder.resolve()):
                raise UsageError("pack.in_store", path=to, folder=folder)


def _engine(request: CreateRequest) -> str:
    """The engine's name; of several builds the one for the machine that the bundle is for. Raises UsageError."""
    found = builds(request.engine)
    if len(found) == 1:
        return found[0].name
    target = bundle_inventory.read_target(request.target) if request.target else None
    return suited(found, target.host.nvidia_driver if target else read_driver_version()).name


def _machine(request: CreateRequest) -> Machine | None:
    """The machine that the bundle is for; None: one like this. Raises as `check_target` does, before any download."""
    if request.target is None:
        return None
    spec = find_spec(request.engine) if request.engine != NO_ENGINE else None
    bundle_inventory.check_target(request.target, Needs(engine=spec))
    return machine_of(bundle_inventory.read_target(request.target).host)


def _needs(gathered: Gathered) -> Needs:
    contents = {file.sha256: file.size for model in gathered.models for file in model.lock.files}
    return Needs(
        engine=next((part.spec for part in gathered.wheels if part.spec), None),
        wheels=tuple(wheel.path.name for part in gathered.wheels for wheel in part.wheels),
        model_bytes=sum(contents.values()),
    )


def _plan(request: CreateRequest, label: str, gathered: Gathered) -> BundlePlan:
    have = bundle_gather.read_have(request.have) if request.have else Have()
    index = bundle_images.index(gathered)
    metadata, payload = _contents(gathered)
    left_out = tuple(sorted(payload.keys() & have.sha256))
    kept = {sha256: one for sha256, one in payload.items() if sha256 not in have.sha256}
    overhead = sum(one.size for one in metadata.values()) + len(index)
    overhead += MIB + _PER_BLOB_BYTES * (len(kept) + len(metadata))
    volumes, cut = distribute(request, label, metadata, kept, overhead)
    return BundlePlan(
        label=label,
        serial=request.serial,
        tool=f"selfhost {__version__}",
        models=tuple(
            ModelRef(name=m.lock.recipe, variant=m.lock.variant, manifest=m.manifest) for m in gathered.models
        ),
        base=have.bundles if left_out else (),
        have=left_out,
        index=index,
        volumes=volumes,
        cut=cut,
        link=request.link,
    )


def _gather(request: CreateRequest, home: Home, machine: Machine | None) -> Gathered:
    if request.engine == NO_ENGINE and request.wheelhouse is not None:
        raise UsageError("pack.no_engine")
    if not (request.models or request.images or request.engine != NO_ENGINE):
        raise UsageError("pack.nothing")
    found = bundle_gather.find_models(request.models, request.variant, home)
    parts = [bundle_gather.model(directory, home, request.signer) for directory in found]
    parts.append(bundle_images.gather(request, home))
    if request.engine != NO_ENGINE:
        spec, filled = find_spec(request.engine), None
        folder = request.wheelhouse
        if folder is None:
            folder = home.wheels / spec.name
            if request.download:
                filled = bundle_gather.fill_wheelhouse(spec, folder, machine, request.report)
        parts.append(bundle_gather.wheelhouse(spec, folder, machine, filled))
    return _together(parts)


def _together(parts: Sequence[Gathered]) -> Gathered:
    return Gathered(
        artifacts=tuple(one for part in parts for one in part.artifacts),
        contents=tuple(one for part in parts for one in part.contents),
        models=tuple(one for part in parts for one in part.models),
        wheels=tuple(one for part in parts for one in part.wheels),
        images=tuple(one for part in parts for one in part.images),
    )


def _label(request: CreateRequest, gathered: Gathered) -> str:
    label = request.label
    if label is None:
        label = f"{_main_name(gathered)}-{datetime.now(UTC):%Y.%m.%d}"
    if not is_label(label):
        raise UsageError("pack.bad_label", label=label)
    return label


def _main_name(gathered: Gathered) -> str:
    """What the bundle is about: its first model, else its engine, else its first image."""
    if gathered.models:
        return gathered.models[0].lock.recipe.replace("/", "-")
    engine = next((part.spec.engine for part in gathered.wheels if part.spec), None)
    return engine or gathered.images[0].entry.name.rpartition("/")[2].replace(":", "-")


def _contents(gathered: Gathered) -> tuple[dict[str, Content], dict[str, Content]]:
    """Those on every volume, and those on one; by sha256."""
    every = list(gathered.contents)
    for built in gathered.artifacts:
        every += [
            Content(sha256=modelpack.sha256_of(data), size=len(data), data=data)
            for data in (built.manifest, built.config)
        ]
    metadata = {one.sha256: one for one in every if one.is_metadata}
    return metadata, {one.sha256: one for one in every if not one.is_metadata and one.sha256 not in metadata}


def create(bundle: BundlePlan, home: Home, finishing: Finishing) -> Packed:
    """Make it. Raises NoSpaceError before anything is written, and what `pack.create` raises."""
    check_space(bundle)
    with Blobs(home.blobs).in_use():
        return pack.create(bundle, finishing)

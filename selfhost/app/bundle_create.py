"""`bundle create`: models of the store, on media that are carried to a machine without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import __version__, files
from selfhost.app import bundle_gather, bundle_inventory
from selfhost.app.bundle_gather import Gathered, Have
from selfhost.bundle import file_system, layout, modelpack, pack
from selfhost.bundle.audit import audited
from selfhost.bundle.layout import BlobInfo, ModelRef
from selfhost.bundle.names import is_label
from selfhost.bundle.pack import BundlePlan, Finishing, Packed, VolumePlan
from selfhost.bundle.profile import Needs, machine_of
from selfhost.bundle.write import Content, LinkMode
from selfhost.engines.install import this_machine
from selfhost.engines.specs import find_spec
from selfhost.errors import NoSpaceError, UsageError
from selfhost.records import dataclass
from selfhost.units import MIB, format_bytes, parse_bytes
from selfhost.weights.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from selfhost.app.bundle_inventory import PackedWheels
    from selfhost.bundle.layout import BundleInfo
    from selfhost.bundle.sign import Signer
    from selfhost.engines.needs import Machine
    from selfhost.engines.pip_output import Progress
    from selfhost.findings import Finding
    from selfhost.home import Home

SCHEMA_VERSION = 1
_NO_ENGINE = "none"
_SPARE_BYTES = 64 * MIB
"""Left free on a medium, and one per cent of it: file systems become slow or refuse earlier than they say."""
_PER_BLOB_BYTES = 512
"""Of `bundle.json` and SHA256SUMS for one content, at most."""
_UNLIMITED = 1 << 60


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateRequest:
    """What the user asked for."""

    models: tuple[str, ...]
    to: tuple[Path, ...]
    variant: str | None = None
    volume_size: str | None = None
    target: Path | None = None
    have: Path | None = None
    link: LinkMode = LinkMode.AUTO
    engine: str = _NO_ENGINE
    wheelhouse: Path | None = None
    download: bool = True
    """Without a wheelhouse, get the wheels that are not here yet."""
    report: Callable[[Progress], None] = lambda _progress: None
    """Told of each step of that download."""
    serial: int | None = None
    label: str | None = None
    signer: Signer | None = None
    max_file_bytes: int | None = None
    """None: what the file system of the medium says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A bundle that is to be made, and what is to be known about it."""

    bundle: BundlePlan
    findings: tuple[Finding, ...]
    """What would fail or surprise on the other side."""
    wheels: tuple[PackedWheels, ...]
    machine: Machine
    """That wheels are chosen for."""

    def texts(self, info: BundleInfo, *, signed: bool) -> dict[str, bytes]:
        """The files of a volume that are for people without selfhost."""
        own = next((part.wheels for part in self.wheels if part.spec is None), ())
        engine = next((part.spec.name for part in self.wheels if part.spec), "")
        checker = Path(layout.__file__).with_name("inside_verify.py")
        return {
            layout.START_NAME: bundle_inventory.start_text(info, own, engine, signed=signed, machine=self.machine),
            layout.VERIFY_NAME: checker.read_bytes(),
        }


def plan(request: CreateRequest, home: Home) -> Planned:
    """What would be written where; nothing is written to media. Raises UsageError, NoError, NoSpaceError and more."""
    machine = _machine(request)
    gathered = _gather(request, home, machine)
    label = _label(request, gathered)
    said = bundle_inventory.inventory(label, gathered.models, gathered.wheels, home)
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
        machine=machine or this_machine(),
    )


def _machine(request: CreateRequest) -> Machine | None:
    """The machine that the bundle is for; None: one like this. Raises as `check_target` does, before any download."""
    if request.target is None:
        return None
    spec = find_spec(request.engine) if request.engine != _NO_ENGINE else None
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
    artifacts = tuple({built.entry.name: built for built in gathered.artifacts}.values())
    index = modelpack.build_index(built.entry for built in artifacts)
    metadata, payload = _contents(gathered)
    left_out = tuple(sorted(payload.keys() & have.sha256))
    kept = {sha256: one for sha256, one in payload.items() if sha256 not in have.sha256}
    overhead = sum(one.size for one in metadata.values()) + len(index)
    overhead += MIB + _PER_BLOB_BYTES * (len(kept) + len(metadata))
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
        volumes=_volumes(request, label, metadata, kept, overhead),
        link=request.link,
    )


def _gather(request: CreateRequest, home: Home, machine: Machine | None) -> Gathered:
    if request.engine == _NO_ENGINE and request.wheelhouse is not None:
        raise UsageError("pack.no_engine")
    found = bundle_gather.find_models(request.models, request.variant, home)
    parts = [bundle_gather.model(directory, home, request.signer) for directory in found]
    if request.engine != _NO_ENGINE:
        spec = find_spec(request.engine)
        folder = request.wheelhouse
        if folder is None:
            folder = home.wheels / spec.name
            if request.download:
                bundle_gather.fill_wheelhouse(spec, folder, machine, request.report)
        parts.append(bundle_gather.wheelhouse(spec, folder, machine))
    return _together(parts)


def _together(parts: Sequence[Gathered]) -> Gathered:
    return Gathered(
        artifacts=tuple(one for part in parts for one in part.artifacts),
        contents=tuple(one for part in parts for one in part.contents),
        models=tuple(one for part in parts for one in part.models),
        wheels=tuple(one for part in parts for one in part.wheels),
    )


def _label(request: CreateRequest, gathered: Gathered) -> str:
    label = request.label
    if label is None:
        name = gathered.models[0].lock.recipe.replace("/", "-")
        label = f"{name}-{datetime.now(UTC):%Y.%m.%d}"
    if not is_label(label):
        raise UsageError("pack.bad_label", label=label)
    return label


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


def _volumes(
    request: CreateRequest,
    label: str,
    metadata: dict[str, Content],
    kept: dict[str, Content],
    overhead: int,
) -> tuple[VolumePlan, ...]:
    room = _asked_size(request)
    capacities = [
        max((room if room is not None else _room(to, label, kept.values(), request.link)) - overhead, 0)
        for to in request.to
    ]
    blobs = [BlobInfo(sha256=one.sha256, size=one.size) for one in kept.values()]
    repeat = room is not None and len(request.to) == 1
    packed = [
        (to, blobs)
        for to, blobs in zip(_places(request.to), layout.pack_volumes(blobs, capacities, repeat=repeat), strict=False)
        if blobs
    ] or [(request.to[0], ())]
    volumes = []
    for number, (to, listed) in enumerate(packed, 1):
        limit = request.max_file_bytes or file_system.max_file_bytes(to)
        contents = (*(kept[blob.sha256] for blob in listed), *metadata.values())
        path = to / layout.volume_name(label, number, len(packed))
        volumes.append(VolumePlan(path=path, contents=contents, max_file_bytes=limit))
    return tuple(volumes)


def _places(to: Sequence[Path]) -> Iterable[Path]:
    yield from to
    while True:
        yield to[-1]


def _asked_size(request: CreateRequest) -> int | None:
    if request.volume_size is None:
        return None
    try:
        size = parse_bytes(request.volume_size)
    except ValueError as error:
        raise UsageError("pack.bad_size", size=request.volume_size) from error
    if size <= 0:
        raise UsageError("pack.bad_size", size=request.volume_size)
    return size


def _room(to: Path, label: str, contents: Iterable[Content], link: LinkMode) -> int:
    """Bytes that a volume may have there: what is free, what an interrupted run left, what can be linked."""
    if all(_links(to, one, link) for one in contents):
        return _UNLIMITED
    room = _free(to)
    for left in to.glob(f"{label}-vol*of*"):
        if pack.is_unfinished(left):
            room += sum(path.lstat().st_size for path in left.rglob("*") if path.is_file())
    return room


def _free(to: Path) -> int:
    free = files.free_bytes(to)
    return max(free - free // 100 - _SPARE_BYTES, 0)


def _links(to: Path, content: Content, link: LinkMode) -> bool:
    return link is not LinkMode.COPY and content.source is not None and file_system.same(to, content.source)


def new_bytes(bundle: BundlePlan) -> dict[Path, int]:
    """Bytes that are still to be copied to each volume; what is linked or there already takes none."""
    return {
        volume.path: sum(
            one.size
            for one in volume.contents
            if not _links(volume.path, one, bundle.link) and not (volume.path / layout.blob_path(one.sha256)).exists()
        )
        for volume in bundle.volumes
    }


def _check_space(bundle: BundlePlan) -> None:
    """Volumes in several folders may share one file system."""
    needed: dict[int, tuple[Path, int]] = {}
    for path, need in new_bytes(bundle).items():
        device = file_system.existing(path).stat().st_dev
        needed[device] = (path, needed.get(device, (path, 0))[1] + need)
    for path, need in needed.values():
        if need > (free := _free(path)):
            raise NoSpaceError("pack.no_space", path=path, need=format_bytes(need), have=format_bytes(free))


def create(bundle: BundlePlan, home: Home, finishing: Finishing) -> Packed:
    """Make it. Raises NoSpaceError before anything is written, and what `pack.create` raises."""
    _check_space(bundle)
    with audited(home, "bundle create", label=bundle.label) as told, Blobs(home.blobs).in_use():
        packed = pack.create(bundle, finishing)
        told |= {"bundle": packed.info.id, "serial": packed.info.serial, "signed": packed.signed}
        told["models"] = [f"{model.name}/{model.variant}" for model in packed.info.models]
        told["volumes"] = [str(volume.path) for volume in packed.volumes]
        return packed

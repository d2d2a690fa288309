"""`selfhost image build|ls`: a context in a temporary folder, a builder, what it made."""

from __future__ import annotations

import collections
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import __version__, files
from selfhost.app.image_folder import link, work_folder
from selfhost.app.wheels_bill import bom_engine
from selfhost.engines import own_wheels, specs, wheels
from selfhost.engines.needs import Machine
from selfhost.engines.pip_run import child
from selfhost.engines.wheel_folder import WheelOptions
from selfhost.errors import MissingError, NoSpaceError, SelfhostError, UsageError
from selfhost.images.builder import (
    Build,
    Builder,
    BuiltImage,
    build_command,
    check_names,
    inspect_command,
    list_command,
    parse_inspect,
    parse_list,
)
from selfhost.images.sbom import image_bill
from selfhost.messages import text
from selfhost.offline import is_offline
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.bundle.bom import BomEngine
    from selfhost.engines.pip_output import Progress
    from selfhost.engines.wheel_file import Wheel
    from selfhost.home import Home
    from selfhost.images.kinds import Kind

SCHEMA_VERSION = 1
_PACKAGE = Path(__file__).resolve().parent.parent
_EPOCH = 315_532_800
"""1980-01-01, the first day that a zip can hold: files in an image are as old where SOURCE_DATE_EPOCH says nothing."""
_SHOWN_LINES = 20
_SBOM = "sbom.cdx.json"
_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """What the user asked for."""

    kind: Kind
    builder: Builder | None = None
    base: str = ""
    wheelhouse: Path | None = None
    tag: str = ""
    """Name and tag of the image; empty: `localhost/selfhost-KIND:VERSION`."""
    python: str = ""
    """Of the base, `3.12`."""
    isolation: str = ""
    sbom: Path | None = None
    """Where the bill of materials is written, besides the image."""

    @property
    def reference(self) -> str:
        """Name and tag of the image."""
        return self.tag or f"{self.kind.repository}:{__version__}"


def folder_of(kind: Kind) -> Path:
    """The folder of an image: inside an installed wheel, or at the top of a checkout."""
    installed = _PACKAGE / "data" / "containers"
    return (installed if installed.is_dir() else _PACKAGE.parent / "containers") / kind.folder


def is_pinned(base: str) -> bool:
    """Whether an image's name says what is in it: by digest, or because it lies in this machine's own store."""
    return "@" in base or base.startswith("localhost/")


def parse_builder(given: str | None) -> Builder | None:
    """A builder by its name. Raises UsageError."""
    if given is None:
        return None
    try:
        return Builder(given)
    except ValueError:
        raise UsageError("container.unknown_builder", name=given, names=", ".join(Builder)) from None


def pick(wanted: Builder | None) -> Builder:
    """The builder: the one that is wanted, else the first that is installed. Raises MissingError."""
    if wanted is not None:
        if shutil.which(wanted.value) is None:
            raise MissingError("container.not_installed", name=wanted.value)
        return wanted
    for builder in Builder:
        if shutil.which(builder.value):
            return builder
    raise MissingError("container.no_builder", names=", ".join(Builder))


def command(request: ImageRequest, builder: Builder, context: Path) -> list[str]:
    """Argv of the build. Raises UsageError."""
    check(request)
    if request.isolation and builder is Builder.DOCKER:
        raise UsageError("container.no_isolation", isolation=request.isolation)
    base = request.base or request.kind.base
    build = Build(
        reference=request.reference,
        containerfile=str(context / "Containerfile"),
        context=str(context),
        id_file=str(context.with_name(f"{context.name}.id")),
        arguments={
            "BASE": base,
            "BASE_DIGEST": base.partition("@")[2],
            "VERSION": __version__,
            **request.kind.arguments,
        },
        epoch=_epoch(),
        isolation=request.isolation,
        offline=is_offline(),
    )
    return build_command(builder, build)


def check(request: ImageRequest) -> None:
    """Raises UsageError for what a builder would refuse after minutes, or take for something else."""
    check_names(request.base, request.tag, request.isolation)
    machine_of(request)


def _epoch() -> int:
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(said) if said.isdecimal() else _EPOCH


def machine_of(request: ImageRequest) -> Machine:
    """What wheels are chosen for: the base's Python on this kind of machine. Raises UsageError."""
    version = request.kind.python
    if request.python:
        major, _, minor = request.python.partition(".")
        if not (major.isdecimal() and minor.isdecimal()):
            raise UsageError("container.bad_python", given=request.python)
        version = (int(major), int(minor))
    if version < _OLDEST_PYTHON:
        raise UsageError("container.old_python", given=request.python)
    return Machine(machine=platform.machine(), implementation="cpython", python=version, glibc=request.kind.glibc)


def build(
    home: Home,
    request: ImageRequest,
    note: Callable[[str], None],
    report: Callable[[Progress], None],
) -> tuple[Builder, BuiltImage]:
    """Make an image. Raises MissingError without a builder, what wheelhouses raise, SelfhostError when it fails."""
    builder = pick(request.builder)
    machine = machine_of(request)
    if request.sbom:
        files.make_directory(request.sbom.absolute().parent)
    with work_folder(home.wheels) as work, files.explain_os_errors(work):
        context = work / "context"
        argv = command(request, builder, context)
        note(text("container.wheels", python=".".join(map(str, machine.python)), machine=machine.machine))
        engines = _fill(home, request, machine, context, report)
        bill = image_bill(request.reference, request.base or request.kind.base, __version__, engines)
        files.write_json(context / _SBOM, bill)
        _run(argv, note, request)
        made = inspect(builder, _id(Path(f"{context}.id"), argv), request.reference)
        if request.sbom:
            files.write_json(request.sbom, bill)
        return builder, made


def _id(path: Path, argv: list[str]) -> str:
    """What the builder wrote of the image it made. Raises MissingError."""
    said = path.read_text(errors="replace").strip() if path.is_file() else ""
    if not said:
        raise MissingError(
            "container.not_understood", command=shlex.join(argv[:2]), detail="it wrote no id of an image"
        )
    return said


def _fill(
    home: Home, request: ImageRequest, machine: Machine, context: Path, report: Callable[[Progress], None]
) -> list[BomEngine]:
    """Make the context; what is in it, for the bill."""
    shutil.copytree(folder_of(request.kind), context)
    own = context / "wheels" / "own"
    options = WheelOptions(machine=machine, wheelhouse=request.wheelhouse)
    found = own_wheels.fill(own, options)
    said = [bom_engine("selfhost", __version__, found)]
    (own / ".lock").unlink(missing_ok=True)
    if not request.kind.engine:
        return said
    spec = specs.find_spec(request.kind.engine)
    there = _engine_wheels(home, spec, options, report)
    target = context / "wheels" / "engine"
    target.mkdir()
    for wheel in there:
        link(wheel.path, target / wheel.path.name)
    return [*said, bom_engine(spec.engine, spec.version, there)]


def _engine_wheels(
    home: Home, spec: specs.EngineSpec, options: WheelOptions, report: Callable[[Progress], None]
) -> tuple[Wheel, ...]:
    if options.wheelhouse is not None:
        return wheels.find(spec, options.for_pip.wheelhouse or options.wheelhouse, options.machine)
    return wheels.fill(spec, home.wheels / spec.name, options, report)


def _run(argv: list[str], note: Callable[[str], None], request: ImageRequest) -> None:
    """Run the builder, telling its lines; it does not outlive an interruption."""
    last: collections.deque[str] = collections.deque(maxlen=_SHOWN_LINES)
    readable, writable = os.pipe()
    with (
        os.fdopen(readable, errors="replace") as lines,
        os.fdopen(writable, "wb") as end,
        # What `RUN --mount` needs of docker; it is off by default in old ones.
        child(argv, stdout=end, env={**os.environ, "DOCKER_BUILDKIT": "1"}) as process,
    ):
        end.close()
        for line in lines:
            last.append(line.rstrip())
            note(line.rstrip())
        status = process.wait()
    if status:
        python, said = ".".join(map(str, machine_of(request).python)), "\n".join(last)
        if "no space left on device" in said.lower():
            raise NoSpaceError("container.no_space", command=shlex.join(argv[:2]), lines=said)
        raise SelfhostError(
            "container.build_failed", command=shlex.join(argv[:2]), status=status, lines=said, python=python
        )


def inspect(builder: Builder, image: str, reference: str) -> BuiltImage:
    """What a builder says of an image. Raises MissingError."""
    argv = inspect_command(builder, image)
    try:
        return parse_inspect(builder, _ask(argv), reference)
    except (ValueError, KeyError, TypeError) as error:
        raise MissingError("container.not_understood", command=shlex.join(argv), detail=error) from error


def _ask(argv: list[str]) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        raise MissingError("container.not_understood", command=shlex.join(argv), detail=done.stderr.strip())
    return done.stdout


def listing(builder: Builder) -> list[BuiltImage]:
    """The images of ours in a builder's store, sorted by name. Raises MissingError."""
    argv = list_command(builder)
    try:
        names = parse_list(builder, _ask(argv))
    except (ValueError, KeyError, TypeError) as error:
        raise MissingError("container.not_understood", command=shlex.join(argv), detail=error) from error
    return [inspect(builder, name, name) for name in names]


def context_files(kind: Kind) -> list[str]:
    """What the context has, for people and `--dry-run`."""
    return [
        *sorted(path.name for path in folder_of(kind).iterdir()),
        _SBOM,
        "wheels/own/",
        *(["wheels/engine/"] if kind.engine else []),
    ]


def as_json(builder: Builder, images: Sequence[BuiltImage]) -> dict[str, object]:
    """For `--json`."""
    return {"schema_version": SCHEMA_VERSION, "builder": builder.value, "images": [one.as_dict() for one in images]}

"""What goes into a bundle: models of the store with their locks and recipes, an engine's wheels, a profile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from selfhost.app import stored, unserved, wanted
from selfhost.app.bundle_inventory import PackedModel, PackedWheels
from selfhost.app.quantize import user_recipe
from selfhost.bundle import modelpack
from selfhost.bundle.layout import is_sha256
from selfhost.bundle.modelpack import Built, Layer
from selfhost.bundle.secrets import LOOK_BYTES, refuse_secret
from selfhost.bundle.write import Content
from selfhost.engines import companions, environment, own_wheels, wheels
from selfhost.engines.install import this_machine
from selfhost.engines.lock import parse_lock
from selfhost.engines.wheel_file import describe
from selfhost.engines.wheel_folder import WheelOptions
from selfhost.engines.wheel_tags import lowest_glibc
from selfhost.errors import IncompleteError, IntegrityError, NoError, SelfhostError, UsageError
from selfhost.recipe import load
from selfhost.records import dataclass
from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from selfhost.weights.checkpoint import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric import ec

    from selfhost.bundle.images import Image
    from selfhost.bundle.sign import Signer
    from selfhost.engines.needs import Machine
    from selfhost.engines.pip_output import Progress
    from selfhost.engines.specs import EngineSpec
    from selfhost.engines.wheel_file import Wheel
    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe
    from selfhost.weights.lock import ModelLock

_HEAD_BYTES = 4096
"""Of a large file: enough to see that it is a key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """Artifacts, and where their contents are."""

    artifacts: tuple[Built, ...]
    contents: tuple[Content, ...]
    models: tuple[PackedModel, ...] = ()
    wheels: tuple[PackedWheels, ...] = ()
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Have:
    """What the receiver said it has."""

    sha256: frozenset[str] = frozenset()
    bundles: tuple[str, ...] = ()


def find_models(names: Sequence[str], variant: str | None, home: Home) -> list[Path]:
    """The directories of these models.

    Raises IncompleteError for all that are known and not stored, NoError for one that is not known, UsageError where
    several variants are stored.
    """
    if variant is not None and len(names) != 1:
        raise UsageError("pack.variant_of_many")
    found = {name: stored.find(name, variant, home) for name in names}
    if absent := [name for name, here in found.items() if not here]:
        raise _not_stored(absent, variant, home)
    for name, here in found.items():
        if len(here) > 1:
            variants = ", ".join(path.name for path in here)
            raise UsageError("pack.several", name=name, variants=variants, first=here[0].name)
    return list(dict.fromkeys(here[0] for here in found.values()))


def _not_stored(names: Sequence[str], variant: str | None, home: Home) -> SelfhostError:
    """The error for models that the store does not have; with how to get them, where they are known."""
    known = stored.names(home)
    commands = []
    for name in names:
        try:
            asked = wanted.find(name, home, variant=variant)
        except SelfhostError:
            return NoError("storage.unknown", name=f"{name} ({variant})" if variant else name, known=known)
        if asked.recipe is not None:
            unserved.check(asked.recipe, asked.variant)
        commands.append(f"`selfhost pull {asked.name}{f' --variant {asked.variant}' if asked.variant else ''}`")
    return IncompleteError("pack.not_pulled", names=", ".join(names), known=known, commands="\n".join(commands))


def model(directory: Path, home: Home, signer: Signer | None = None) -> Gathered:
    """A model of the store, with a `model.sig` where the signer can make one.

    Raises IntegrityError when files are missing, TrustError for what may be a secret.
    """
    lock = store.look_up(directory)
    if lock is None:
        raise NoError("storage.unknown", name=directory, known=stored.names(home))
    blobs = Blobs(home.blobs)
    contents = [_of_file(directory, file.path, file.sha256, file.size, blobs) for file in lock.files]
    found = _recipe(lock.recipe, directory.name, home)
    built = modelpack.build_model(lock, [found[0].licence.id] if found else ())
    artifacts = [built]
    extra = [_lock_artifact(built, lock, blobs), *([_recipe_artifact(built, *found)] if found else [])]
    if signer is not None and signer.model_key is not None:
        extra.append(_signature_artifact(built, lock, signer.model_key))
    for artifact, more in extra:
        artifacts.append(artifact)
        contents += more
    packed = PackedModel(directory, lock, built.entry.sha256, found[0] if found else None)
    return Gathered(artifacts=tuple(artifacts), contents=tuple(contents), models=(packed,))


def _of_file(directory: Path, path: str, sha256: str, size: int, blobs: Blobs) -> Content:
    source = blobs.path(sha256) if blobs.has(sha256, size) else (directory / path).resolve()
    if not source.is_file():  # to open a pipe that nobody writes to would wait for ever
        raise IntegrityError("pack.odd_source", path=source)
    with source.open("rb") as stream:
        refuse_secret(path, stream.read(LOOK_BYTES if size <= LOOK_BYTES else _HEAD_BYTES))
    return Content(sha256=sha256, size=size, source=source)


def _data(data: bytes) -> Content:
    return Content(sha256=modelpack.sha256_of(data), size=len(data), data=data)


def _layers(named: Iterable[tuple[str, Content]]) -> tuple[Layer, ...]:
    return tuple(Layer(path=path, sha256=one.sha256, size=one.size) for path, one in sorted(named, key=lambda n: n[0]))


def _artifact(
    kind: str, name: str, config: dict[str, Any], named: dict[str, Content], subject: Built | None = None
) -> tuple[Built, list[Content]]:
    built = modelpack.build(kind, name, config, _layers(named.items()), subject.entry if subject else None)
    return built, list(named.values())


def _lock_artifact(model: Built, lock: ModelLock, blobs: Blobs) -> tuple[Built, list[Content]]:
    source = lock.source
    if source.kind == "directory":
        # Where it lay on the machine of the sender is nobody's business.
        source = replace(source, id=Path(source.id).name)
    body = json.dumps(replace(lock, source=source).as_dict(), indent=2, sort_keys=True, ensure_ascii=False)
    named = {modelpack.LOCK_FILE: _data(body.encode() + b"\n")}
    for sha256 in sorted({file.sha256 for file in lock.files}):
        if marks := blobs.marks(sha256):
            named[f"{modelpack.MARKS_FOLDER}/{sha256}"] = _data(marks)
    return _artifact(modelpack.LOCK, f"{model.entry.name}/lock", {"recipe": lock.recipe}, named, model)


def _recipe(name: str, variant: str, home: Home) -> tuple[Recipe, Path, bytes] | None:
    path = load.find_recipes(home).get(name.lower())
    if path is None:
        return None
    path, data = user_recipe.for_others(path, variant)
    return load.parse_recipe(data, path), path, data


def _recipe_artifact(model: Built, recipe: Recipe, path: Path, data: bytes) -> tuple[Built, list[Content]]:
    named = {path.name: _data(data)}
    template = recipe.serving.chat_template
    if template and (path.parent / template).is_file():
        named[template] = _data((path.parent / template).read_bytes())
    config = {"recipe": recipe.name, "licence": recipe.licence.id}
    return _artifact(modelpack.RECIPE, f"{model.entry.name}/recipe", config, named, model)


def _signature_artifact(model: Built, lock: ModelLock, key: ec.EllipticCurvePrivateKey) -> tuple[Built, list[Content]]:
    from selfhost.bundle import openssf

    data = openssf.sign(model.entry.name, {file.path: file.sha256 for file in lock.files}, key)
    named = {openssf.SIGNATURE_NAME: _data(data)}
    return _artifact(modelpack.SIGNATURE, f"{model.entry.name}/signature", {}, named, model)


def wheelhouse(
    spec: EngineSpec, folder: Path, machine: Machine | None = None, found: tuple[Wheel, ...] | None = None
) -> Gathered:
    """The wheels of an engine from a folder that has them, and those of selfhost itself where it has these too.

    machine: that they are for; None: this one. found: those of the engine, by who has just filled the folder. Raises
    IncompleteError when one is missing, IntegrityError for one that is not the locked one.
    """
    there = machine or this_machine()
    engine, own = found or wheels.find(spec, folder, machine), _own_wheels(folder)
    lock = environment.lock_file(spec)
    named = {lock.name: _data(lock.read_bytes())}
    if beside := companions.find(spec, folder, machine):
        named[environment.BESIDE_LOCK] = _data(companions.as_lock(beside).encode())
        engine = (*engine, *beside)
    if own:
        named[own_wheels.OWN_LOCK] = _data((folder / own_wheels.OWN_LOCK).read_bytes())
    for wheel in (*engine, *own):
        named[wheel.path.name] = Content(sha256=wheel.sha256, size=wheel.size, source=wheel.path.resolve())
    config = {"engine": spec.engine, "name": spec.name, "version": spec.version, "lock": lock.name}
    config |= {"machine": there.machine, "python": ".".join(map(str, there.python))}
    if glibc := lowest_glibc((wheel.path.name for wheel in (*engine, *own)), there.machine):
        config["glibc"] = ".".join(map(str, glibc))
    built, contents = _artifact(modelpack.WHEELHOUSE, f"wheelhouse/{spec.name}", config, named)
    parts = (PackedWheels(spec, engine), *([PackedWheels(None, own)] if own else []))
    return Gathered(artifacts=(built,), contents=tuple(contents), wheels=parts)


def fill_wheelhouse(
    spec: EngineSpec, folder: Path, machine: Machine | None, report: Callable[[Progress], None]
) -> tuple[Wheel, ...]:
    """Download the wheels of an engine and of selfhost itself for a machine, as far as the folder has them not.

    Returns those of the engine.
    """
    options = WheelOptions(machine=machine)
    found = wheels.fill(spec, folder, options, report)
    own_wheels.fill(folder, options)
    return found


def _own_wheels(folder: Path) -> tuple[Wheel, ...]:
    lock = folder / own_wheels.OWN_LOCK
    entries = parse_lock(lock.read_text()) if lock.is_file() else ()
    wanted = {sha256 for entry in entries for sha256 in entry.hashes}
    names = {canonicalize_name(entry.name) for entry in entries}
    # By name first: to hash those of the engine once more takes as long as to hash all of it.
    named = [path for path in folder.glob("*.whl") if canonicalize_name(path.name.partition("-")[0]) in names]
    own = tuple(wheel for wheel in map(describe, sorted(named)) if wheel.sha256 in wanted)
    if absent := wanted - {wheel.sha256 for wheel in own}:
        raise IncompleteError("pack.missing_wheels", path=folder, engine="selfhost", names=shown(absent))
    return own


def documents(named: Mapping[str, bytes]) -> Gathered:
    """What a bundle says of its contents."""
    built, contents = _artifact(modelpack.INVENTORY, "inventory", {}, {name: _data(one) for name, one in named.items()})
    return Gathered(artifacts=(built,), contents=tuple(contents))


def profile(path: Path) -> Gathered:
    """What `detect --json` said on the other machine, as it is."""
    built, contents = _artifact(modelpack.PROFILE, "profile", {}, {"target.json": _data(path.read_bytes())})
    return Gathered(artifacts=(built,), contents=tuple(contents))


def read_have(path: Path) -> Have:
    """What `bundle inventory` said on the other machine. Raises UsageError for something else."""
    body = _read_object(path)
    listed = body.get("blobs")
    if not isinstance(listed, list):
        raise _bad_have(path, "no list `blobs`")
    digests = [one.get("sha256") if isinstance(one, dict) else one for one in listed]
    bundles = body.get("bundles") or []
    bad = next((one for one in digests if not is_sha256(one)), None)
    if bad is not None or not (isinstance(bundles, list) and all(isinstance(one, str) for one in bundles)):
        raise _bad_have(path, f"{ascii(bad)[:80]} is no sha256" if bad is not None else "`bundles` are no names")
    return Have(sha256=frozenset(map(str, digests)), bundles=tuple(bundles))


def _read_object(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        detail: object = error.strerror
    except (ValueError, RecursionError) as error:
        detail = error
    else:
        if isinstance(body, dict):
            return body
        detail = "it is no JSON object"
    raise _bad_have(path, detail)


def _bad_have(path: Path, detail: object) -> UsageError:
    command = "selfhost bundle inventory > inventory.json"
    return UsageError("pack.bad_json_file", path=path, option="--have", detail=detail, command=command)

"""`bundle import`: contents into the store, models when all of them are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from selfhost import files
from selfhost.app import bundle_fit, bundle_images, bundle_known, licence, storage
from selfhost.app.bundle_inventory import LICENCES_NAME
from selfhost.bundle import canonical, cut, image_load, image_store, modelpack, unpack, wheelhouse
from selfhost.errors import IntegrityError, NoError, TrustError, UsageError
from selfhost.messages import text
from selfhost.recipe import load, write
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights import check, store, touched
from selfhost.weights.blobs import Blobs
from selfhost.weights.lock import MODEL_SIGNATURE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.app.bundle_gate import Gate
    from selfhost.bundle.image_store import StoredImage
    from selfhost.bundle.read import Bundle
    from selfhost.bundle.unpack import Brought
    from selfhost.home import Home
    from selfhost.weights.lock import ModelLock

    class Talk(bundle_images.Talk, Protocol):
        """Who is told."""

        def warn(self, line: str) -> None:
            """What may be wrong."""


SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What the user may decide about an import."""

    copying: unpack.Copying = unpack.Copying()
    allow_mismatch: bool = False
    """Take what was made for a machine that has what this one has not."""
    load: image_load.Program | None = None
    """Hand its container images to this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What is here now."""

    bundle: Bundle
    brought: Brought
    models: tuple[Path, ...]
    activated: tuple[Path, ...]
    """Of the models, those that were not there before."""
    wheelhouses: tuple[Path, ...]
    recipes: tuple[Path, ...]
    images: tuple[StoredImage, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The contract of `bundle import --json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "id": self.bundle.info.id,
            "label": self.bundle.info.label,
            "serial": self.bundle.info.serial,
            "signers": self.bundle.volumes[0].signer or None,
            "models": [
                {"name": path.parent.name, "variant": path.name, "path": str(path), "new": path in self.activated}
                for path in self.models
            ],
            "wheelhouses": [str(path) for path in self.wheelhouses],
            "recipes": [str(path) for path in self.recipes],
            "images": [image.as_dict() for image in self.images],
            "copied_bytes": self.brought.copied_bytes,
            "there_bytes": self.brought.there_bytes,
        }


def run(bundle: Bundle, gate: Gate, home: Home, talk: Talk, choices: Choices | None = None) -> Imported:
    """Import the volumes at hand, and activate the bundle once all its contents are here.

    Raises TrustError before any content is read, MissingError where it was made for another machine; IncompleteError
    when other volumes are needed: what was copied stays; IntegrityError, NoSpaceError, NoError for a model in use or
    another one of that name.
    """
    choices = choices or Choices()
    if choices.load is not None:
        image_load.check_program(choices.load)
    gate.admit(bundle)
    signatures = gate.model_signatures(bundle)
    bundle_fit.check(bundle, home, talk.warn, allow_mismatch=choices.allow_mismatch)
    blobs = Blobs(home.blobs)
    locks = unpack.models(bundle)
    for lock, _ in locks:
        _check_replaceable(lock, home)
    for lock, _ in locks:
        # Before the first content: `gc` takes a store without it for one whose models are not mounted.
        files.make_directory(_place(lock, home).parent)
    if not locks:
        files.make_directory(home.models / ".none")

    def waiting() -> None:
        talk.note(text("model.waiting", name=bundle.info.label))

    with blobs.in_use():
        brought = unpack.bring(bundle, blobs, talk.progress, (home.wheelhouses, home.images), choices.copying)
        talk.note(
            text("unpack.copied", copied=format_bytes(brought.copied_bytes), there=format_bytes(brought.there_bytes))
        )
        unpack.check_complete(bundle, blobs)
        with files.hold_lock(files.make_directory(home.bundles) / ".activating.lock"):
            # Again, and with nobody beside us: a newer bundle may have come in while this one was copied.
            gate.admit(bundle)
            wheelhouses = wheelhouse.publish(bundle, home.wheelhouses, blobs, waiting)
            images = image_store.publish(bundle, home.images, blobs, waiting)
            recipes = _recipes(bundle, home, talk)
            _acceptances(bundle, home, talk)
            activated = [lock for lock, _ in locks if _activate(lock, home, blobs, talk)]
            _sign(bundle, signatures, home, talk)
            bundle_known.remember(bundle, home)
            gate.record(bundle)
        unpack.done(bundle, blobs)
    cut.remove_pieces(bundle, blobs, home.models)
    if choices.load is not None:
        bundle_images.load(images, choices.load, talk)
    return Imported(
        bundle=bundle,
        brought=brought,
        models=tuple(_place(lock, home) for lock, _ in locks),
        activated=tuple(_place(lock, home) for lock in activated),
        wheelhouses=tuple(wheelhouses),
        recipes=tuple(recipes),
        images=tuple(images),
    )


# Models


def _place(lock: ModelLock, home: Home) -> Path:
    return store.model_directory(home.models, lock.recipe, lock.variant)


def _known(directory: Path) -> ModelLock | None:
    """The lock of what is there, when it is whole by names and sizes."""
    try:
        return store.look_up(directory)
    except IntegrityError:
        return None


def _check_replaceable(lock: ModelLock, home: Home) -> None:
    """Raises NoError where another model has that name, or a server runs with what would be replaced."""
    directory = _place(lock, home)
    there = _known(directory)
    if there is None or there.files == lock.files:
        return
    if there.source.id != lock.source.id:
        raise NoError(
            "unpack.other_model",
            name=lock.recipe,
            variant=lock.variant,
            found=there.source.id,
            wanted=lock.source.id,
        )
    storage.check_unused(home, [directory])


def _activate(lock: ModelLock, home: Home, blobs: Blobs, talk: Talk) -> bool:
    """Let a model appear; False when it is there already."""
    directory = _place(lock, home)
    name = f"{lock.recipe} ({lock.variant})"
    with store.hold(directory, lambda: talk.note(text("model.waiting", name=name))):
        there = _known(directory)
        if there is not None and there.files == lock.files and not touched.written_since(directory, there):
            return False
        storage.check_unused(home, [directory])
        store.publish(directory, lock, blobs, lambda made: _check(made, name, talk))
    return True


def _sign(bundle: Bundle, signatures: dict[str, bytes], home: Home, talk: Talk) -> None:
    """Put each model's own signature beside its files, where other tools look for it."""
    for ref in bundle.info.models:
        data = signatures.get(ref.manifest)
        directory = store.model_directory(home.models, ref.name, ref.variant)
        path = directory / MODEL_SIGNATURE_NAME
        # A file of that name that is the model's own stays.
        if data is None or any(one.path == path.name for one in store.read_lock(directory).files):
            continue
        if not path.is_file() or path.read_bytes() != data:
            with files.atomic_write(path) as stream:
                stream.write(data)
            files.sync(directory)
        talk.note(text("unpack.signed_model", name=f"{ref.name} ({ref.variant})", path=directory))


def _check(made: Path, name: str, talk: Talk) -> None:
    """Refuse what is damaged or unsafe at its source; what else an engine may miss is told."""
    for error in check.structure_problems(made):
        params = {key: name if value == made else value for key, value in error.message.params.items()}
        named = type(error)(error.message.id, **params)
        if isinstance(error, (IntegrityError, TrustError)):
            raise named
        talk.warn(f"{named.message.what}: {named.message.why}")


# Recipes


def _recipes(bundle: Bundle, home: Home, talk: Talk) -> list[Path]:
    """Recipes of the bundle that are not known here so, with what they name; a user's own of that name stays."""
    known = load.find_recipes(home)
    wanted: list[tuple[Path, dict[str, bytes]]] = []
    for artifact in bundle.artifacts:
        if artifact.entry.artifact_type != modelpack.RECIPE:
            continue
        small = {layer.path: bundle.read(layer.sha256) for layer in artifact.manifest.layers}
        path = next((path for path in small if path.endswith(".toml") and "/" not in path), None)
        if path is None:
            raise IntegrityError("unpack.bad_recipe", path=artifact.entry.name, detail="no TOML file")
        name = path.removesuffix(".toml")
        try:
            load.parse_recipe(small[path], home.recipes / name / path)
        except UsageError as error:
            raise IntegrityError("unpack.bad_recipe", path=path, detail=error.message.why or error) from error
        there = known.get(name)
        if there is not None and there.read_bytes() == small[path]:
            continue
        if there is not None and there.is_relative_to(home.recipes):
            more = _with_variants(there, small[path], talk)
            wanted += [(there, {there.name: more})] if more else []
            continue
        wanted.append((home.recipes / name / path, small))
    for target, small in wanted:
        # The recipe last: it is found by its name.
        for path in sorted(small, key=lambda path: path == target.name):
            files.make_directory((target.parent / path).parent)
            with files.atomic_write(target.parent / path) as stream:
                stream.write(small[path])
    return [target for target, _ in wanted]


def _with_variants(there: Path, incoming: bytes, talk: Talk) -> bytes | None:
    """A user's own recipe with the variants that came in and that it has not; None where nothing is added to it."""
    before = there.read_text(encoding="utf-8")
    after = write.merged(before, incoming.decode())
    if after is None:
        talk.warn(text("unpack.recipe_kept", path=there))
        return None
    return after.encode() if after != before else None


# Terms


def _acceptances(bundle: Bundle, home: Home, talk: Talk) -> None:
    """What was accepted where the bundle was made need not be asked again: there is nobody to ask at a server."""
    for artifact in bundle.artifacts:
        for layer in artifact.manifest.layers:
            if artifact.entry.artifact_type == modelpack.INVENTORY and layer.path == LICENCES_NAME:
                said = canonical.decode(bundle.read(layer.sha256), layer.path)
                for one in said.get("models") or ():
                    _accept(one, home, talk)


def _accept(one: object, home: Home, talk: Talk) -> None:
    names = ("id", "url", "accepted_at")
    found = [one.get(name) if isinstance(one, dict) else None for name in names]
    values = [value for value in found if isinstance(value, str) and value and value.isprintable()]
    if len(values) == len(names) and licence.take_over(home, *values):
        talk.note(text("unpack.accepted", id=values[0], url=values[1], at=values[2]))

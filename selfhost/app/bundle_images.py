"""Container images of bundles: taken along by `create`, kept and handed to a container program by `import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from selfhost.app.bundle_gather import Gathered
from selfhost.bundle import image_load, image_store, modelpack
from selfhost.bundle.modelpack import sha256_of
from selfhost.bundle.secrets import refuse_secret
from selfhost.bundle.write import Content
from selfhost.errors import UsageError
from selfhost.messages import text
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.app.bundle_request import CreateRequest
    from selfhost.bundle.image_load import Program
    from selfhost.bundle.image_store import LocalImage, StoredImage
    from selfhost.home import Home

    class Talk(Protocol):
        """Who is told."""

        def note(self, line: str) -> None:
            """How it goes."""

        def progress(self, done: int, total: int) -> None:
            """Bytes handed over, bytes to hand over."""


def gather(request: CreateRequest, home: Home) -> Gathered:
    """The images that `--image` names, from layouts on this machine or from registries.

    Raises UsageError, IncompleteError, IntegrityError as `image_store.open_image` does, what a registry gives reason
    for; TrustError for a configuration with a secret in it.
    """
    if request.platform is not None and not request.images:
        raise UsageError("pack.no_image")
    found = [_open(one, request, home) for one in request.images]
    return Gathered(
        artifacts=(),
        contents=tuple(content for one in found for content in _contents(one)),
        images=tuple(one.image for one in found),
    )


def _open(given: str, request: CreateRequest, home: Home) -> LocalImage:
    if given.startswith(image_store.SCHEME):
        return image_store.open_image(given, request.platform)
    from selfhost.app import bundle_fetch  # the client of registries, for those who need it

    return bundle_fetch.fetch(given, request, home)


def _contents(local: LocalImage) -> list[Content]:
    """What is small goes on every volume: a reader sees by it what else there is."""
    small = []
    for part in local.image.small:
        data = local.read(part)
        # A variable of the environment or a build argument may have a token in it.
        refuse_secret(f"{local.image.entry.name}: {part.media_type}", data)
        small.append(Content(sha256=sha256_of(data), size=len(data), data=data))
    large = [Content(sha256=one.sha256, size=one.size, source=local.path(one)) for one in local.image.layers]
    return [*small, *large]


def check_names(gathered: Gathered) -> None:
    """Raises UsageError where two contents of a bundle would have one name."""
    names = [image.entry.name for image in gathered.images]
    taken = {built.entry.name for built in gathered.artifacts}
    for number, name in enumerate(names):
        if name in taken or name in names[:number]:
            raise UsageError("image.same_name", name=name)


def index(gathered: Gathered) -> bytes:
    """`index.json` of a bundle: its artifacts, each name once, then its images."""
    check_names(gathered)
    built = {one.entry.name: one.entry for one in gathered.artifacts}
    return modelpack.build_index([*built.values(), *(image.entry for image in gathered.images)])


def load(found: Sequence[StoredImage], program: Program, talk: Talk) -> None:
    """Hand images to a container program. Raises MissingError when it is not there, or does not take one."""
    if not found:
        talk.note(text("image.nothing"))
    command = image_load.command(program)
    for stored in found:
        name, total = stored.image.entry.name, stored.image.size_bytes
        talk.note(text("image.loading", name=name, size=format_bytes(total), command=command))
        done = 0

        def tick(count: int, total: int = total) -> None:
            nonlocal done
            done += count
            talk.progress(done, total)

        image_load.load(stored, program, tick)
        talk.note(text("image.loaded", name=name, program=program.value))

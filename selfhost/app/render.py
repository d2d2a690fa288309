"""`selfhost render`: one plan into the files of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import __version__, files
from selfhost.errors import NoError, UsageError
from selfhost.home import find_home
from selfhost.records import dataclass
from selfhost.render.deployment import Image
from selfhost.render.rendered import differences
from selfhost.render.resolve import Choices, deploy
from selfhost.render.targets import TARGETS
from selfhost.weights import store
from selfhost.weights.lock import LOCK_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.planner.plan import Plan, PlanRequest
    from selfhost.render.deployment import Deployment
    from selfhost.render.rendered import RenderedFile

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderRequest:
    """What the user asked for, besides the plan."""

    name: str | None = None
    image: str | None = None
    gateway_image: str | None = None
    store: str | None = None
    """`SELFHOST_HOME` on the machines; None: as here."""
    address: str = "127.0.0.1"
    port: int = 8000
    disk_bytes_per_s: int | None = None
    force: bool = False
    """Render although the plan says that it does not fit."""


def deployment_of(plan: Plan, request: RenderRequest, settings: PlanRequest) -> Deployment:
    """The deployment of a plan. Raises NoError for one that cannot run."""
    if not plan.argv or not (plan.fits or request.force):
        raise NoError("render.does_not_fit", name=plan.model, hardware=plan.hardware.text, reasons=_lines(plan))
    home = find_home()
    more = {} if request.disk_bytes_per_s is None else {"disk_bytes_per_s": request.disk_bytes_per_s}
    return deploy(
        plan,
        Choices(
            store=request.store or str(home.root),
            name=request.name,
            engine=parse_image(request.image, "engine") if request.image else None,
            gateway=parse_image(request.gateway_image, "gateway") if request.gateway_image else None,
            address=request.address,
            port=request.port,
            model_sha256=_model_digest(plan, home),
            engine_args=settings.engine_args,
            version=__version__,
            **more,
        ),
    )


def _lines(plan: Plan) -> str:
    return "\n".join(plan.reasons)


def _model_digest(plan: Plan, home: Home) -> str:
    """Of the lock of the model as it is stored here; empty when it is not."""
    lock = store.model_directory(home.models, plan.model, plan.variant) / LOCK_NAME
    return files.sha256_file(lock) if lock.is_file() else ""


def parse_image(text: str, role: str) -> Image:
    """`registry/name[:tag][@sha256:...]` as a record. Raises UsageError."""
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    name, _, tag = last.partition(":")
    if not name or (digest and not digest.startswith("sha256:")):
        raise UsageError("render.bad_image", image=text)
    return Image(name=f"{head}{slash}{name}", tag=tag, digest=digest, role=role)


def render(target: str, deployment: Deployment) -> list[RenderedFile]:
    """The files of a target. Raises UsageError for one that is not known."""
    if target not in TARGETS:
        raise UsageError("render.unknown_target", target=target, targets=", ".join(TARGETS))
    return TARGETS[target](deployment)


def write(rendered: list[RenderedFile], output: Path) -> None:
    """Write files below a directory; others there stay."""
    for file in rendered:
        path = output / file.path
        files.make_directory(path.parent)
        with files.atomic_write(path, file.mode) as stream:
            stream.write(file.text.encode())


def compare(rendered: list[RenderedFile], output: Path) -> str:
    """How files on disk differ from what would be rendered; empty when they do not."""
    found: dict[str, str | None] = {}
    for file in rendered:
        path = output / file.path
        found[file.path] = path.read_text() if path.is_file() else None
    return differences(rendered, found)

"""`selfhost render`: one plan into the files of a deployment."""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from selfhost import __version__, files
from selfhost.app.model import from_recipe
from selfhost.app.plan import engine_for
from selfhost.app.quantize import user_recipe
from selfhost.app.render_cluster import parse_image
from selfhost.app.render_output import left_over
from selfhost.engines import owned, vllm
from selfhost.engines.patience import DISK_BYTES_PER_S
from selfhost.errors import NoError, UsageError
from selfhost.home import find_home
from selfhost.messages import text
from selfhost.recipe import load
from selfhost.records import dataclass
from selfhost.render import templates
from selfhost.render.deployment import is_loopback, label
from selfhost.render.kubernetes import IMAGE_VOLUME_DEFAULT_MINOR, Kubernetes
from selfhost.render.resolve import DIRECTORY, Choices, deploy
from selfhost.render.targets import TARGETS
from selfhost.weights.lock import LOCK_NAME

if TYPE_CHECKING:
    from selfhost.home import Home
    from selfhost.planner.plan import Plan, PlanRequest
    from selfhost.render.deployment import Deployment
    from selfhost.render.rendered import RenderedFile

SCHEMA_VERSION = 1
_CLUSTER_TARGETS = ("k8s", "k8s-lws")
_FIRST_FREE_PORT = 1024
"""Lower ones of a machine are for root, or for capabilities that nothing here has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderRequest:
    """What the user asked for, besides the plan."""

    name: str | None = None
    image: str | None = None
    gateway_image: str | None = None
    store: str | None = None
    """`SELFHOST_HOME` on the machines, absolute; None: as here."""
    address: str = "127.0.0.1"
    port: int = 8000
    disk_bytes_per_s: int | None = None
    recipe_paths: tuple[Path, ...] = ()
    directory: str | None = None
    """A model that is a directory: where it lies on the machines, absolute; None: as here."""
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    force: bool = False
    """Render although the plan says that it does not fit."""


def deployment_of(plan: Plan, request: RenderRequest, settings: PlanRequest) -> Deployment:
    """The deployment of a plan. Raises NoError for one that cannot run, UsageError for values no file can have."""
    if not plan.argv:
        raise NoError("render.no_command", name=plan.model, hardware=plan.hardware.text, reasons=_lines(plan))
    if not (plan.fits or request.force):
        raise NoError("render.does_not_fit", name=plan.model, hardware=plan.hardware.text, reasons=_lines(plan))
    home = find_home()
    _check(request)
    here = plan.model_path if plan.variant == DIRECTORY else ""
    places = (("--store", request.store or str(home.root)), ("--directory", request.directory or here))
    for option, place in places:
        if any(character == ":" or not character.isprintable() for character in place):
            raise UsageError("render.odd_path", option=option, path=place)
    stored = "" if request.directory else _place_in_store(plan, home)
    path = _recipe_path(plan, home, request.recipe_paths)
    return deploy(
        plan,
        Choices(
            store=request.store or str(home.root),
            name=request.name,
            engine=parse_image(request.image, "engine") if request.image else None,
            gateway=parse_image(request.gateway_image, "gateway") if request.gateway_image else None,
            address=_address(request.address),
            port=request.port,
            model_sha256=_model_digest(home.models / (stored or f"{plan.model}/{plan.variant}")),
            stored=stored,
            engine_args=further_options(plan, settings, path if request.kubernetes.image else None),
            version=__version__,
            recipe=_own_recipe(path, plan.variant),
            chat_template=_chat_template(plan),
            research_only=bool(path and load.read_recipe(path).licence.research_only),
            directory=request.directory or "",
            disk_bytes_per_s=request.disk_bytes_per_s or DISK_BYTES_PER_S,
            kubernetes=request.kubernetes,
        ),
    )


def further_options(plan: Plan, settings: PlanRequest, recipe: Path | None) -> tuple[str, ...]:
    """What stands after `--`: the user's own options.

    recipe: of a model that is opened without it; then its options come before the user's. Raises UsageError.
    """
    # Settings that were given after `--` are in the plan; written out twice, the two could contradict each other.
    engine = engine_for(plan.hardware)
    asked = owned.absorb(settings, engine)
    if recipe is None:
        return asked.engine_args
    model = from_recipe(load.read_recipe(recipe), recipe, plan.variant, find_home()).to_plan()
    options = itertools.chain(*vllm.engine_options(model, asked, engine))
    return tuple(itertools.chain.from_iterable(option.tokens for option in options))


def _check(request: RenderRequest) -> None:
    if not request.port:
        raise UsageError("render.no_port")
    for option, path in (("--store", request.store), ("--directory", request.directory)):
        if path and not PurePosixPath(path).is_absolute():
            raise UsageError("render.relative_path", option=option, path=path)
    if request.directory and request.kubernetes.image:
        other = f"--directory {request.directory}"
        raise UsageError("render.two_places", other=other, image=request.kubernetes.image)
    if request.name and label(request.name) != request.name:
        raise UsageError("render.bad_name", name=request.name, suggestion=label(request.name))


def _address(host: str) -> str:
    """What files publish at: container engines take no names. Raises UsageError."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise UsageError("render.bad_host", host=host) from None


def _recipe_path(plan: Plan, home: Home, recipe_paths: tuple[Path, ...]) -> Path | None:
    """The recipe of a plan; None for a directory."""
    return None if plan.variant == DIRECTORY else load.find_recipes(home, recipe_paths).get(plan.model)


def _own_recipe(path: Path | None, variant: str) -> str:
    """Text of the user's own recipe, as far as others need it; empty for a built-in one, which the image has."""
    if path is None:
        return ""
    path, data = user_recipe.for_others(path, variant)
    return "" if path.is_relative_to(load.builtin_directory()) else data.decode()


def _chat_template(plan: Plan) -> str:
    """Text of the file that the engine is told to read; empty for none, and for one that is not here.

    Raises UsageError for a file that cannot be read as text, and for an empty one.
    """
    path = Path(templates.named(plan.argv))
    try:
        there = path.is_file()
    except OSError:
        # A template itself, longer than a path can be.
        return ""
    try:
        found = path.read_bytes().decode() if there else ""
    except (OSError, ValueError) as error:
        raise UsageError("render.bad_template", path=path, detail=error) from error
    if there and not found:
        raise UsageError("render.empty_template", path=path)
    return found


def notes(target: str, deployment: Deployment) -> list[str]:
    """What must still be done or known before the files are of use, one line each."""
    plan, in_cluster = deployment.plan, target in _CLUSTER_TARGETS
    found = []
    if not (deployment.directory or deployment.model_sha256 or deployment.model_image):
        found.append(text("render.not_stored", name=plan.model, pull=deployment.pulled_as))
    if not plan.fits:
        found.append(text("render.forced", hardware=plan.hardware.text))
    found += [
        text("render.tag_only", image=image.reference)
        for image in deployment.images
        if not (image.digest or image.is_local)
    ]
    found += [
        text("render.local_file", option=option, path=path)
        for option, path in itertools.pairwise(templates.without(plan.argv[3:]))
        if option.startswith("--") and path.startswith("/")
    ]
    template = "" if deployment.chat_template else templates.named(plan.argv)
    if template and not templates.is_text(template):
        found.append(text("render.template_not_here", path=template))
    if target == "systemd" and deployment.store.startswith(("/root/", "/home/")):
        found.append(text("render.private_store", store=deployment.store))
    if in_cluster:
        if deployment.model_image and deployment.kubernetes.minor < IMAGE_VOLUME_DEFAULT_MINOR:
            found.append(text("render.image_volume_gate", first=f"1.{IMAGE_VOLUME_DEFAULT_MINOR}"))
        # Addresses are the cluster's there.
        return found
    if any(node.headless for node in deployment.nodes) and deployment.meeting_port is None:
        found.append(text("render.no_probe"))
    if not is_loopback(deployment.address):
        found.append(text("render.exposed", address=deployment.address, port=deployment.port))
    return found


def _lines(plan: Plan) -> str:
    return "\n".join(plan.reasons)


def _place_in_store(plan: Plan, home: Home) -> str:
    """Of a model without a recipe, or named by its directory, below the store's `models/`; empty for all others."""
    path = PurePosixPath(plan.model_path)
    inside = plan.variant == DIRECTORY and path.is_relative_to(home.models)
    return str(path.relative_to(home.models)) if inside else ""


def _model_digest(directory: Path) -> str:
    """Of the lock of a model as it is stored here; empty when it is not."""
    lock = directory / LOCK_NAME
    return files.sha256_file(lock) if lock.is_file() else ""


def check_target(target: str) -> None:
    """Raises UsageError for a target that is not known."""
    if target not in TARGETS:
        raise UsageError("render.unknown_target", target=target, targets=", ".join(TARGETS))


def render(target: str, deployment: Deployment) -> list[RenderedFile]:
    """The files of a target. Raises UsageError for one that is not known, or that cannot have the port."""
    check_target(target)
    if deployment.model_image and target not in {*_CLUSTER_TARGETS, "images"}:
        raise UsageError("render.image_of_clusters", target=target)
    if target in _CLUSTER_TARGETS and templates.applied_bytes(deployment.chat_template) > templates.APPLIED_LIMIT_BYTES:
        limit = templates.APPLIED_LIMIT_BYTES >> 10
        raise UsageError("render.large_template", limit=limit)
    shared = target == "systemd" or (deployment.host_network and target in {"compose", "quadlet"})
    if shared and deployment.port < _FIRST_FREE_PORT:
        raise UsageError("render.low_port", port=deployment.port)
    return TARGETS[target](deployment)


def as_dict(
    target: str, deployment: Deployment, rendered: list[RenderedFile], output: Path, difference: str | None
) -> dict[str, object]:
    """For `--json`. difference: of `--check`; None when files were written."""
    said: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "target": target,
        "name": deployment.name,
        "plan": deployment.fingerprint,
        "files": [str(output / file.path) for file in rendered],
        "left_over": [str(output / path) for path in left_over(rendered, output)],
        "images": [image.reference for image in deployment.images],
        "notes": notes(target, deployment),
    }
    return said if difference is None else said | {"same": not difference, "diff": difference}

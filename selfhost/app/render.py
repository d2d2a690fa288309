"""`selfhost render`: one plan into the files of a deployment."""

from __future__ import annotations

import ipaddress
import itertools
import re
from dataclasses import field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from selfhost import __version__, files
from selfhost.app.plan import engine_for
from selfhost.engines import owned
from selfhost.engines.patience import DISK_BYTES_PER_S
from selfhost.errors import MissingError, NoError, UsageError
from selfhost.home import find_home
from selfhost.messages import text
from selfhost.recipe import load
from selfhost.records import dataclass
from selfhost.render.deployment import Image, is_loopback, label
from selfhost.render.kubernetes import OLDEST_MINOR, Kubernetes, Storage
from selfhost.render.rendered import differences
from selfhost.render.resolve import DIRECTORY, Choices, deploy
from selfhost.render.targets import TARGETS
from selfhost.weights.lock import LOCK_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.planner.plan import Plan, PlanRequest
    from selfhost.render.deployment import Deployment
    from selfhost.render.rendered import RenderedFile

SCHEMA_VERSION = 1
_FIRST_FREE_PORT = 1024
"""Lower ones of a machine are for root, or for capabilities that nothing here has."""
_IMAGE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""With its registry, as podman asks which one is meant otherwise. Source: distribution/reference, grammar of names."""


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
    # Settings that were given after `--` are in the plan; written out twice, the two could contradict each other.
    further = owned.absorb(settings, engine_for(plan.hardware)).engine_args
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
            engine_args=further,
            version=__version__,
            recipe=_own_recipe(path),
            research_only=bool(path and load.read_recipe(path).licence.research_only),
            directory=request.directory or "",
            disk_bytes_per_s=request.disk_bytes_per_s or DISK_BYTES_PER_S,
            kubernetes=request.kubernetes,
        ),
    )


def parse_cluster(words: Iterable[str]) -> Kubernetes:
    """`version=1.30`, `namespace=llm`, `storage=host`, `claim=NAME`, `resource=NAME`, `interface=eth0`.

    Raises UsageError for other keys, and for values that no cluster can have.
    """
    found = Kubernetes()
    for word in words:
        key, _, value = word.partition("=")
        if key == "version":
            minor = re.fullmatch(r"v?1\.(\d+)(?:\..*)?", value)
            if not minor or int(minor[1]) < OLDEST_MINOR:
                raise UsageError("render.bad_version", value=value, oldest=f"1.{OLDEST_MINOR}")
            found = replace(found, minor=int(minor[1]))
        elif key == "storage" and value in {*Storage}:
            found = replace(found, storage=Storage(value))
        elif key in _CLUSTER and _CLUSTER[key].fullmatch(value):
            changes: dict[str, Any] = {key: value}
            found = replace(found, **changes)
        else:
            raise UsageError("render.bad_cluster", word=word)
    return found


_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_CLUSTER = {
    "namespace": re.compile(_DNS_LABEL),
    "claim": re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"),
    "resource": re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*/[A-Za-z0-9](?:[A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?"),
    "interface": re.compile(r"[A-Za-z0-9_.-]{1,15}"),
}


def _check(request: RenderRequest) -> None:
    if not request.port:
        raise UsageError("render.no_port")
    for option, path in (("--store", request.store), ("--directory", request.directory)):
        if path and not PurePosixPath(path).is_absolute():
            raise UsageError("render.relative_path", option=option, path=path)
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


def _own_recipe(path: Path | None) -> str:
    """Text of the user's own recipe; empty for a built-in one, which the image has."""
    if path is None or path.is_relative_to(load.builtin_directory()):
        return ""
    return path.read_text(encoding="utf-8")


def notes(target: str, deployment: Deployment) -> list[str]:
    """What must still be done or known before the files are of use, one line each."""
    plan, in_cluster = deployment.plan, target in {"k8s", "k8s-lws"}
    found = []
    if not deployment.directory and not deployment.model_sha256:
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
        for option, path in itertools.pairwise(plan.argv[3:])
        if option.startswith("--") and path.startswith("/")
    ]
    if target == "systemd" and deployment.store.startswith(("/root/", "/home/")):
        found.append(text("render.private_store", store=deployment.store))
    if in_cluster:
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


def parse_image(reference: str, role: str) -> Image:
    """`registry/name[:tag][@sha256:...]` as a record. Raises UsageError."""
    found = _IMAGE.fullmatch(reference)
    if not found:
        raise UsageError("render.bad_image", image=reference)
    return Image(name=found["name"], tag=found["tag"] or "", digest=found["digest"] or "", role=role)


def check_target(target: str) -> None:
    """Raises UsageError for a target that is not known."""
    if target not in TARGETS:
        raise UsageError("render.unknown_target", target=target, targets=", ".join(TARGETS))


def render(target: str, deployment: Deployment) -> list[RenderedFile]:
    """The files of a target. Raises UsageError for one that is not known, or that cannot have the port."""
    check_target(target)
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
        "images": [image.reference for image in deployment.images],
        "notes": notes(target, deployment),
    }
    return said if difference is None else said | {"same": not difference, "diff": difference}


def write(rendered: list[RenderedFile], output: Path) -> list[str]:
    """Write files below a directory, where others stay; those that were there and different.

    Raises UsageError for a file in the place of the directory, MissingError when it cannot be written.
    """
    there = _on_disk(rendered, output)
    try:
        for file in rendered:
            path = output / file.path
            files.make_directory(path.parent)
            with files.atomic_write(path, file.mode) as stream:
                stream.write(file.text.encode())
    except MissingError as error:
        if error.message.id != "cli.not_writable":
            raise
        raise MissingError("render.not_writable", **error.message.params) from error
    return [file.path for file in rendered if there[file.path] not in (None, file.text)]


def _on_disk(rendered: list[RenderedFile], output: Path) -> dict[str, str | None]:
    """Text of the files that are there, byte for byte; what is no text counts as different. Raises UsageError."""
    if output.exists() and not output.is_dir():
        raise UsageError("render.output_is_a_file", path=output)
    paths = {file.path: output / file.path for file in rendered}
    return {
        name: path.read_bytes().decode(errors="replace") if path.is_file() else None for name, path in paths.items()
    }


def compare(rendered: list[RenderedFile], output: Path) -> str:
    """How files on disk differ from what would be rendered; empty when they do not."""
    return differences(rendered, _on_disk(rendered, output))

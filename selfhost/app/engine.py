"""`selfhost engine`: environments are made, listed, checked, removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from selfhost.app import versions
from selfhost.columns import table
from selfhost.engines import environment, specs
from selfhost.engines import install as installation
from selfhost.engines.needs import suited
from selfhost.engines.pip_output import Phase
from selfhost.errors import IncompleteError, MissingError, NoError
from selfhost.messages import text, word
from selfhost.offline import is_offline
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.engines.environment import EngineEnvironment
    from selfhost.engines.install import InstallOptions
    from selfhost.engines.pip_output import Progress
    from selfhost.engines.specs import EngineSpec
    from selfhost.home import Home

SCHEMA_VERSION = 1


def install(
    home: Home,
    name: str,
    options: InstallOptions,
    report: Callable[[Progress], None],
    driver: Callable[[], str | None] = installation.read_driver_version,
) -> EngineEnvironment:
    """Make the environment of an engine's lock.

    Raises what `engines.install.install` does, and IncompleteError when selfhost is offline and no wheelhouse is named.
    """
    spec = spec_to_install(home, name, driver_check=options.driver_check, driver=driver)
    if options.wheelhouse is None and is_offline():
        raise IncompleteError("engine.offline", name=spec.name)
    return installation.install(home, spec, options, report=report, driver=driver)


def spec_to_install(
    home: Home,
    name: str,
    *,
    driver_check: bool,
    driver: Callable[[], str | None] = installation.read_driver_version,
) -> EngineSpec:
    """The engine with this name; of several builds the one for this machine, and without the check that for GPUs.

    Raises UsageError, and MissingError for Ascend's, with what suits this machine.
    """
    if name in {specs.ASCEND, specs.ASCEND_ENGINE}:
        from selfhost.app import ascend_engine

        ascend_engine.refuse(home, driver_check=driver_check)
    builds = specs.builds(name)
    return suited(builds, driver()) if driver_check and len(builds) > 1 else builds[0]


def existing(home: Home, name: str) -> EngineEnvironment | None:
    """The environment when it is installed and whole; a broken one counts as absent, for `install` to make anew."""
    try:
        return environment.find(home, name)
    except MissingError:
        return None


InUse = Callable[["EngineEnvironment"], "Sequence[str]"]
"""Names of the servers that run from an environment."""


def listing(home: Home, in_use: InUse = lambda _one: ()) -> dict[str, object]:
    """What is installed and what could be, for `ls --json`."""
    found = environment.find_all(home)
    return {
        "schema_version": SCHEMA_VERSION,
        "engines": [one.as_dict() | {"servers": list(in_use(one))} for one in found],
        "installable": [
            {
                "name": spec.name,
                "engine": spec.engine,
                "version": spec.version,
                "purpose": text(spec.purpose),
                "disk_bytes": spec.disk_bytes,
            }
            for spec in specs.SPECS
        ],
    }


def check(home: Home, name: str) -> dict[str, Any]:
    """Import the engine in its environment; what it says, for `check --json`. Raises MissingError."""
    found = environment.require(home, name)
    told = environment.check(found)
    return {
        **found.as_dict(),
        "schema_version": SCHEMA_VERSION,
        "python_version": told["python"],
        "versions": told["versions"],
        "kernels": told["kernels"],
        "cuda": told["cuda"],
    }


def removable(home: Home, name: str, in_use: InUse, version: str | None = None) -> tuple[EngineEnvironment, ...]:
    """What `remove` would delete: all environments of an engine, unfinished ones and those of other locks included.

    version: only what it means. Raises NoError while a server runs from one, or when nothing is there.
    """
    names = [spec.name for spec in specs.builds(name)]
    found = tuple(one for one in environment.find_all(home) if one.install in names)
    if version is not None:
        there = ", ".join(one.path.name for one in found) or word("none")
        found = tuple(one for one in found if versions.matches(one, version))
        if not found:
            raise NoError("versions.none_to_remove", name=name, version=version, found=there)
    if not found:
        raise NoError("engine.nothing_to_remove", name=name, directory=home.engines)
    for one in found:
        if servers := in_use(one):
            raise NoError("engine.in_use", name=one.install, servers=", ".join(servers), first=servers[0])
    return found


def unused(home: Home, in_use: InUse) -> tuple[EngineEnvironment, ...]:
    """What nothing needs: environments of other locks than this selfhost's, and unfinished ones, without a server."""
    found = environment.find_all(home)
    return tuple(one for one in found if not (one.complete and one.current) and not in_use(one))


def told(name: str, progress: Progress) -> str:
    """One line for people: how far an installation is."""
    if progress.phase is Phase.WAIT:
        return text("engine.waiting", name=name)
    counts = {"done": progress.done, "total": progress.total}
    if progress.phase is Phase.PREPARE:
        return text("engine.prepare")
    if progress.phase is Phase.INSTALL:
        return text("engine.installing", **counts)
    if progress.item_bytes:
        # pip rounds the size that it tells: what is there may be a little more.
        done_bytes = min(progress.item_done_bytes or 0, progress.item_bytes)
        got, size = format_bytes(done_bytes), format_bytes(progress.item_bytes)
        return text("engine.collect_bytes", item=progress.item, got=got, size=size, **counts)
    return text("engine.collect", item=progress.item, **counts) if progress.item else text("engine.collect_first")


def rows(home: Home, in_use: InUse = lambda _one: ()) -> list[str]:
    """The table of `ls`: a heading and a line per environment; empty when there is none."""
    found = environment.find_all(home)
    listed = [("NAME", "ENGINE", "VERSION", "STATE", "SERVERS", "PATH")] if found else []
    for one in found:
        servers = ",".join(in_use(one)) or "-"
        listed.append((one.install or "", one.name, one.version, _state(one), servers, str(one.path)))
    return table(listed)


def _state(found: EngineEnvironment) -> str:
    if not found.complete:
        return text("engine.unfinished")
    return text("engine.ready") if found.current else text("engine.outdated")


def offers(home: Home) -> list[str]:
    """Lines for people: what is not installed and can be."""
    here = {one.install for one in environment.find_all(home) if one.complete and one.current}
    lines = [] if here else [text("engine.nothing_installed", directory=home.engines)]
    for name in dict.fromkeys(spec.group or spec.name for spec in specs.SPECS):
        builds = specs.builds(name)
        if here.isdisjoint(spec.name for spec in builds):
            lines.append(_offer(name, builds))
    return lines


def _offer(name: str, builds: Sequence[EngineSpec]) -> str:
    first, last = builds[0], builds[-1]
    sizes = [format_bytes(spec.disk_bytes) for spec in (first, last)]
    if first is last:
        about = {"engine": first.engine, "purpose": text(first.purpose), "size": sizes[0]}
    else:
        named = {"first": sizes[0], "first_name": first.name, "second": sizes[1], "second_name": last.name}
        about = {
            "engine": "llm-compressor",
            "purpose": text("engine.for_group"),
            "size": text("engine.one_of", **named),
        }
    return text("engine.installable", name=name, version=first.version, **about)


def check_rows(checked: dict[str, Any]) -> list[str]:
    """The table of `check`."""
    cuda = checked["cuda"]
    listed = [("engine", f"{checked['name']} {checked['version']}"), ("python", checked["python_version"])]
    listed += sorted(checked["versions"].items())
    listed += [("kernels", checked["kernels"])] if checked["kernels"] else []
    listed += [("cuda", cuda["version"])] if cuda else []
    return table([*listed, ("path", checked["path"])])


def lacks_cuda(checked: dict[str, Any]) -> str | None:
    """What it means that the engine is built for CUDA and sees no device; None when that is not so."""
    if not checked["cuda"] or checked["cuda"]["available"]:
        return None
    group = next((spec.group for spec in specs.SPECS if spec.name == checked["install"]), "")
    return text("engine.cpu_alone" if group else "engine.no_cuda")

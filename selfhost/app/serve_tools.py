"""The rest of selfhost as `serve` needs it, for the machine this runs on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from selfhost.app import compat
from selfhost.app.engine_env import of_machine
from selfhost.app.serve import Tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.app.pull import Talk
    from selfhost.hardware.types import Hardware
    from selfhost.home import Home
    from selfhost.planner.plan import Plan


_FRESH_S = 60.0


class Fresh:
    """What this machine has, as it is now: vendors' tools may take seconds, so they are not asked again at once.

    But fetching weights may take hours, in which others take devices.
    """

    def __init__(self, ask: Callable[[str | None], Hardware], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._found: dict[str | None, tuple[float, Hardware]] = {}

    def __call__(self, devices: str | None) -> Hardware:
        """The hardware for a `--devices`."""
        found = self._found.get(devices)
        if found is None or self._clock() - found[0] > _FRESH_S:
            hardware = self._ask(devices)
            self._found[devices] = found = self._clock(), hardware
        return found[1]


def real_tools(  # noqa: PLR0913, PLR0917 - what the command line takes
    home: Home,
    engine_python: Path | None,
    talk: Talk,
    recipe_paths: Sequence[Path] = (),
    accept: Sequence[str] = (),
    engine_version: str | None = None,
) -> Tools:
    """The rest of selfhost, for the machine this runs on.

    engine_python: another environment's Python. engine_version: of an installed one. accept: licences that the command
    line accepts.
    """
    from selfhost.app import detect, model, repository, versions, weights
    from selfhost.app.plan import hardware_of, plan_to_start
    from selfhost.app.pull import PullRequest
    from selfhost.engines import environment

    def warned(devices: str | None) -> Hardware:
        found = hardware_of(devices, None, home)
        for why in detect.why_cpu(found):
            talk.warn(why)
        return found

    hardware = Fresh(warned)

    def python_for(plan: Plan) -> Path:
        if engine_python is not None:
            return environment.from_python(engine_python).python
        if engine_version is not None:
            found = versions.choose(home, plan.engine.name, engine_version)
            if line := versions.differs(found, plan):
                talk.warn(line)
            return found.python
        return environment.require(home, plan.engine.name).python

    return Tools(
        machine_env=of_machine,
        resolve=lambda target, variant: model.resolve(
            target, variant=variant, recipe_paths=recipe_paths, ask=repository.describe
        ),
        make_plan=lambda found, request: plan_to_start(found, hardware(request.devices), request, home),
        engine_python=python_for,
        ensure_weights=lambda found, python: weights.ensure(
            found, home, PullRequest(engine_python=python, accept_licence=tuple(accept)), talk
        ),
        of_variant=lambda found, variant: found.of_variant(variant),
        check_stack=lambda found, plan, force: compat.check(found, plan, engine_python, talk.warn, force=force),
    )

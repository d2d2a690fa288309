"""Whether a bundle that was made for a machine (`--for`) is for this one: said before anything is copied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from selfhost.app.detect import detect
from selfhost.bundle import modelpack, profile
from selfhost.bundle.profile import Needs
from selfhost.engines.specs import find_spec
from selfhost.errors import IntegrityError, MissingError, UsageError
from selfhost.messages import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.bundle.read import Bundle
    from selfhost.engines.specs import EngineSpec
    from selfhost.hardware.types import HardwareSnapshot
    from selfhost.home import Home


def check(bundle: Bundle, home: Home, warn: Callable[[str], None], *, allow_mismatch: bool) -> None:
    """Nothing for a bundle that is for any machine. Raises MissingError with what is wanted and not here.

    allow_mismatch: tell `warn` instead. Reads only metadata; asks the devices of this machine.
    """
    made_for = _made_for(bundle)
    if made_for is None:
        return
    found = profile.lacking(detect(home), made_for, _needs(bundle))
    if not found:
        return
    problems = "\n".join(f"{one.message.what}: {one.message.why}".rstrip(": ") for one in found)
    if not allow_mismatch:
        raise MissingError("unpack.other_machine", label=bundle.info.label, problems=problems)
    warn(text("unpack.mismatch_allowed", problems="; ".join(problems.splitlines())))


def _made_for(bundle: Bundle) -> HardwareSnapshot | None:
    profiles = [one for one in bundle.artifacts if one.entry.artifact_type == modelpack.PROFILE]
    layer = next((layer for one in profiles for layer in one.manifest.layers), None)
    if layer is None:
        return None
    try:
        return profile.target_from_dict(json.loads(bundle.read(layer.sha256)), layer.path)
    except UsageError as error:
        detail = f"{error.message.what}: {error.message.why}"
        raise IntegrityError("unpack.bad_profile", label=bundle.info.label, detail=detail) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise IntegrityError("unpack.bad_profile", label=bundle.info.label, detail=error) from error


def _needs(bundle: Bundle) -> Needs:
    wheelhouses = [one for one in bundle.artifacts if one.entry.artifact_type == modelpack.WHEELHOUSE]
    names = {layer.path for one in wheelhouses for layer in one.manifest.layers if layer.path.endswith(".whl")}
    engine = next((spec for one in wheelhouses if (spec := _spec(one.config.get("name")))), None)
    return Needs(engine=engine, wheels=tuple(sorted(names)))


def _spec(name: object) -> EngineSpec | None:
    try:
        return find_spec(str(name))
    except UsageError:  # of another version of selfhost: its wheels still tell where they run
        return None

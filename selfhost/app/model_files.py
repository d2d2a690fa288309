"""Weight files of a directory beside its config: where they disagree, and how much there is of an unknown one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.errors import IncompleteError, NoError
from selfhost.messages import text
from selfhost.models.arch import ModelArch
from selfhost.models.headers import config_findings
from selfhost.units import format_bytes
from selfhost.weights.headers import QUICK_BYTES, in_directory, read_headers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from selfhost.weights.check import WeightFiles
    from selfhost.weights.headers import OpenRange


def arch_of_files(config: Mapping[str, Any], weight_bytes: int) -> ModelArch:
    """The architecture of a config that has weight files of so many bytes beside it.

    Raises what `ModelArch.from_config` raises; for an architecture that is not known, with the bytes, so that bounds
    can be given instead of a plan.
    """
    try:
        return ModelArch.from_config(config)
    except NoError as error:
        if error.message.id != "arch.unsupported" or not weight_bytes:
            raise
        params = {**error.message.params, "bytes": weight_bytes, "total": format_bytes(weight_bytes)}
        raise NoError("arch.unsupported_files", **params) from error


def contradictions(arch: ModelArch, directory: Path, weights: WeightFiles) -> tuple[str, ...]:
    """Where the headers of the weight files and the config disagree, one sentence each; empty without files."""
    return contradictions_in(arch, in_directory(directory), weights)


def contradictions_in(arch: ModelArch, open_range: OpenRange, weights: WeightFiles) -> tuple[str, ...]:
    """The same for files that are read by `open_range`.

    At most `QUICK_BYTES` of headers are read: a plan is waited for. What was not read is said when something was found.
    """
    if not weights.present:
        return ()
    try:
        headers = read_headers(
            weights.present,
            open_range,
            absent=len(weights.absent),
            known_names=weights.tensor_names,
            limit_bytes=QUICK_BYTES,
        )
    except IncompleteError as error:
        return (_sentence(error.message.what, error.message.why),)
    found = [_sentence(finding.message.what, finding.message.why) for finding in config_findings(arch, headers)]
    if found and not headers.is_complete:
        found.append(text("plan.headers_unread", read=headers.read, files=headers.files))
    return tuple(found)


def _sentence(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what

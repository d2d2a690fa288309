"""`selfhost quantize DIR --check`: whether what msModelSlim wrote can be loaded by vllm-ascend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import IntegrityError, UsageError
from selfhost.home import user_path
from selfhost.quant.ascend import DESCRIPTION
from selfhost.quantize import modelslim
from selfhost.records import dataclass
from selfhost.weights.checkpoint import CONFIG
from selfhost.weights.headers import in_directory, read_headers

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.findings import Finding

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What was found."""

    directory: Path
    counts: dict[str, int]
    """Matrices by type."""
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "path": str(self.directory),
            "sound": not self.findings,
            "matrices": self.counts,
            "findings": [
                {
                    "id": one.message.id,
                    "where": one.where,
                    "what": one.message.what,
                    "why": one.message.why,
                    "hint": one.message.hint,
                }
                for one in self.findings
            ],
        }


def check(text: str) -> Checked:
    """Look at names, types, shapes and scales; reads headers, no weights.

    Raises UsageError for a directory that msModelSlim did not write, IncompleteError for files without a header,
    IntegrityError for a configuration that is none.
    """
    directory = user_path(text)
    if not directory.is_dir():
        raise UsageError("model.no_directory", path=text)
    described = files.read_json(directory / DESCRIPTION)
    if described is None:
        raise UsageError("modelslim.no_description", path=directory)
    config = files.read_json(directory / CONFIG)
    if config is None:
        raise IntegrityError("model.config_not_json", path=directory / CONFIG, detail="it is no JSON object")
    names = [path.name for path in directory.glob("*.safetensors")]
    tensors = read_headers(names, in_directory(directory)).tensors
    found = modelslim.problems(described, tensors, config)
    return Checked(directory=directory, counts=modelslim.counts(described), findings=tuple(found))

"""Who vouches for a bundle: keys that are trusted here, and serials that do not go back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from selfhost.bundle import modelpack, openssf, policy
from selfhost.bundle.trust import Serials, read_trust, trust_only
from selfhost.errors import TrustError
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.weights.checkpoint import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from selfhost.bundle.layout import BundleInfo
    from selfhost.bundle.read import Bundle
    from selfhost.home import Home


@dataclass(frozen=True, kw_only=True, slots=True)
class GateOptions:
    """What the command line says about trust."""

    keys: tuple[Path, ...] = ()
    """These keys, and no others; what is known of them stays."""
    allow_unsigned: str | None = None
    """Why; None: no."""
    allow_rollback: bool = False
    strict_time: bool = False


class Gate:
    """Decides for each volume, before anything else of it is read."""

    def __init__(self, home: Home, options: GateOptions, note: Callable[[str], None]) -> None:
        self._options = options
        self._note = note
        self._told: set[str] = set()
        known = read_trust(home)
        self._trust = trust_only(options.keys, known) if options.keys else known
        self._serials = Serials(home)
        self._vouched = True

    def trusted(self, path: Path, sums: bytes, signature: bytes | None) -> str:
        """Who signed a volume; empty for nobody that is known here. Raises TrustError."""
        verdict = policy.decide(self._trust, sums, signature, self._demand())
        for one in verdict.notes:
            self._tell(one.what)
        if signature is None:
            self._tell(text("unpack.unsigned", path=path))
        self._vouched = self._vouched and verdict.vouched
        return ", ".join(sorted(key.name for key in verdict.signers))

    def _demand(self) -> policy.Demand:
        options = self._options
        now = dt.datetime.now(dt.UTC)
        return policy.Demand(now=now, strict_time=options.strict_time, allow_unsigned=options.allow_unsigned)

    def model_signatures(self, bundle: Bundle) -> dict[str, bytes]:
        """`model.sig` of each model that has one, by manifest; reads only metadata.

        Raises TrustError for one that no trusted key made, or that is of other files.
        """
        found = {}
        models = {one.entry.sha256: one for one in bundle.artifacts if one.entry.artifact_type == modelpack.MODEL}
        for artifact in bundle.artifacts:
            model = models.get(artifact.manifest.subject)
            if artifact.entry.artifact_type != modelpack.SIGNATURE or model is None:
                continue
            for layer in artifact.manifest.layers:
                data = bundle.read(layer.sha256)
                self._check_model(model.entry.name, data, {one.path: one.sha256 for one in model.manifest.layers})
                found[model.entry.sha256] = data
        return found

    def _check_model(self, name: str, data: bytes, files: Mapping[str, str]) -> None:
        if not self._trust.keys:  # that nobody is trusted here was told of the bundle
            return
        try:
            signed = openssf.verify(data, [key.public for key in self._trust.keys])
        except TrustError as error:
            if self._options.allow_unsigned is None or error.message.id != "trust.unknown_model_signer":
                raise
            self._tell(text("trust.note_allowed", reason=self._options.allow_unsigned))
            return
        entry = self._trust.find(signed.key)
        if entry is not None:
            policy.check_revoked(entry)
            if note := policy.check_time(entry, self._demand()):
                self._tell(note.what)
        found = openssf.compare(signed, files)
        if wrong := (*found.changed, *found.missing, *found.unsigned):
            raise TrustError("trust.model_differs", name=name, count=len(wrong), names=shown(wrong))

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._note(line)

    def admit(self, bundle: Bundle) -> None:
        """Raises TrustError for a bundle that is older than what was imported before."""
        if not self._options.allow_rollback:
            self._serials.check(subjects(bundle.info), bundle.info.serial, self._trust)

    def record(self, bundle: Bundle) -> None:
        """Nothing older than this is taken from now on; what nobody vouches for sets no mark."""
        if self._vouched:
            self._serials.record(subjects(bundle.info), bundle.info.serial)


def subjects(info: BundleInfo) -> Sequence[str]:
    """What a serial is counted for: each model, or the label of a bundle without one."""
    return sorted({f"{model.name}/{model.variant}" for model in info.models}) or [info.label]

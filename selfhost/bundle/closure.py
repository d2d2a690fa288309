"""What an engine would fetch while it runs, and what is missing so that it need not: nothing comes through a gap.

Read in vLLM 0.32: transformers_utils (code and configurations of other repositories; a speculator leads to its
verifier), tokenizers/kimi_audio.py, entrypoints/openai/parser/harmony_utils.py, utils/flashinfer.py. What keeps a
started engine off the network is in `engines.vllm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.findings import Finding, Severity
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from selfhost.bundle.risks import ModelFacts
    from selfhost.engines.lock import LockEntry

_HARMONY = "gpt_oss"
_HARMONY_VOCABULARY = "o200k_base.tiktoken"
_KIMI_AUDIO = "kimi_audio"
_KIMI_VOCABULARIES = ("tiktoken.model", "tokenizer.model")


def model_closure(model: ModelFacts, carried: Collection[str]) -> tuple[Finding, ...]:
    """What a model asks for beside its own files; code of other repositories is in its risks already.

    carried: hub ids of all models of the bundle.
    """
    return tuple(_model(model, carried))


def _model(model: ModelFacts, carried: Collection[str]) -> Iterator[Finding]:
    config = model.configs.get("config.json", {})
    verifier = _at(config, "speculators_config", "verifier", "name_or_path")
    if isinstance(verifier, str) and not _is_here(verifier, carried):
        params = {"name": model.name, "repository": verifier}
        yield _error(model.name, Message("closure.verifier", params))
    kind = config.get("model_type")
    if kind == _KIMI_AUDIO and not model.paths & {*_KIMI_VOCABULARIES}:
        params = {"name": model.name, "files": " or ".join(_KIMI_VOCABULARIES)}
        yield _error(model.name, Message("closure.vocabulary", params))
    if kind == _HARMONY and not any(path.rpartition("/")[2] == _HARMONY_VOCABULARY for path in model.paths):
        # openai_harmony reads it from the folder of TIKTOKEN_ENCODINGS_BASE, else from the network.
        message = Message("closure.harmony", {"name": model.name, "file": _HARMONY_VOCABULARY})
        yield _error(model.name, message)


def engine_closure(entries: Iterable[LockEntry], beside: Mapping[str, str], folder: str) -> tuple[Finding, ...]:
    """What the packages of an engine would fetch: FlashInfer's kernels, where they are not installed beside it.

    beside: versions of packages that the lock does not name. folder: of the wheels, for what to do.
    """
    versions = {entry.name: entry.version for entry in entries} | dict(beside)
    wanted, found = versions.get("flashinfer-python"), versions.get("flashinfer-cubin")
    if wanted is None or wanted == found:
        return ()
    if found is None:
        message = Message("closure.cubin", {"version": wanted, "folder": folder})
        return (Finding(severity=Severity.WARNING, where="flashinfer-cubin", message=message),)
    return (_error("flashinfer-cubin", Message("closure.cubin_version", {"version": wanted, "found": found})),)


def _is_here(value: str, carried: Collection[str]) -> bool:
    return value.startswith("/") or value in carried


def _at(value: Any, *keys: str) -> Any:
    """What lies in objects in objects; None where one of them is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _error(where: str, message: Message) -> Finding:
    return Finding(severity=Severity.ERROR, where=where, message=message)

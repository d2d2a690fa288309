"""What an engine would fetch while it runs, and what is missing so that it need not: nothing comes through a gap.

Read in vLLM 0.32: transformers_utils (code and configurations of other repositories; a speculator leads to its
verifier), tokenizers/kimi_audio.py, entrypoints/openai/parser/harmony_utils.py, utils/flashinfer.py,
utils/network_utils.py `get_ip`, usage/usage_lib.py, multimodal/media.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.findings import Finding, Severity
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from selfhost.bundle.risks import ModelFacts
    from selfhost.engines.lock import LockEntry

ENVIRONMENT: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
}
"""What every engine is started with."""
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_FETCHERS = re.compile(
    r"(?:^|[\s;&|(/])(pip3?|uv|pipx|conda|apt|apt-get|dnf|yum|curl|wget|git|huggingface-cli|hf|modelscope)\s", re.ASCII
)
_REPOSITORIES = ("--tokenizer", "--hf-config-path", "--spec-model", "--model")
"""Options whose value is a path or a repository."""
_ADAPTERS = "--lora-modules"
_SPECULATIVE = "--speculative-config"
_HARMONY = "gpt_oss"
_HARMONY_VOCABULARY = "o200k_base.tiktoken"
_KIMI_AUDIO = "kimi_audio"
_KIMI_VOCABULARIES = ("tiktoken.model", "tokenizer.model")


class Command(NamedTuple):
    """How an engine is started."""

    argv: Sequence[str]
    environment: Mapping[str, str]


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


def engine_closure(entries: Iterable[LockEntry]) -> tuple[Finding, ...]:
    """What the packages of an engine would fetch: FlashInfer's kernels, where they are not installed beside it."""
    versions = {entry.name: entry.version for entry in entries}
    wanted, found = versions.get("flashinfer-python"), versions.get("flashinfer-cubin")
    if wanted is None or wanted == found:
        return ()
    if found is None:
        message = Message("closure.cubin", {"version": wanted})
        return (Finding(severity=Severity.WARNING, where="flashinfer-cubin", message=message),)
    return (_error("flashinfer-cubin", Message("closure.cubin_version", {"version": wanted, "found": found})),)


def command_closure(command: Command, carried: Collection[str]) -> tuple[Finding, ...]:
    """What a rendered command would fetch or tell outside. Also for commands that were not made here.

    carried: hub ids and paths of all models of the bundle; absolute paths are taken as what is there.
    """
    return (*_fetchers(command.argv), *_repositories(command.argv, carried), *_environment(command))


def _fetchers(argv: Sequence[str]) -> Iterator[Finding]:
    joined = " ".join(argv)
    for name in dict.fromkeys(_FETCHERS.findall(joined)):
        yield _error(name, Message("closure.fetcher", {"program": name, "command": joined}))


def _repositories(argv: Sequence[str], carried: Collection[str]) -> Iterator[Finding]:
    named: list[tuple[str, str]] = []
    if "serve" in argv:
        after = argv[argv.index("serve") + 1 :]
        named += [("serve", after[0])] if after and not after[0].startswith("-") else []
    for name, values in _options(argv):
        if name in _REPOSITORIES:
            named += [(name, value) for value in values[:1]]
        elif name == _ADAPTERS:
            named += [(name, _adapter(value)) for value in values]
        elif name.startswith(_SPECULATIVE):
            named += [(name, model) for model in _drafter(name, values)]
    for name, value in named:
        if not _is_here(value, carried):
            yield _error(name, Message("closure.repository", {"option": name, "repository": value}))


def _options(argv: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Options with the words that follow them, as the engine spells them."""
    for at, word in enumerate(argv):
        if not word.startswith("--"):
            continue
        name, equals, inline = word.partition("=")
        values = [inline] if equals else []
        for following in argv[at + 1 :]:
            if equals or following.startswith("--"):
                break
            values.append(following)
        yield name.replace("_", "-"), values


def _adapter(value: str) -> str:
    """The path in `name=path`, or in a JSON object."""
    if value.startswith("{"):
        return str(_object(value).get("path", value))
    return value.partition("=")[2] or value


def _drafter(name: str, values: Sequence[str]) -> list[str]:
    if not values:
        return []
    if name.endswith(".model"):
        return [values[0]]
    model = _object(values[0]).get("model") if name == _SPECULATIVE else None
    return [str(model)] if model else []


def _environment(command: Command) -> Iterator[Finding]:
    lacking = [f"{name}={value}" for name, value in ENVIRONMENT.items() if command.environment.get(name) != value]
    if lacking:
        yield _error("environment", Message("closure.environment", {"variables": " ".join(lacking)}))
    if secrets := [name for name in _SECRETS if command.environment.get(name)]:
        yield _error("environment", Message("closure.token", {"variables": ", ".join(secrets)}))
    if "VLLM_HOST_IP" not in command.environment:
        message = Message("closure.host_ip", {})
        yield Finding(severity=Severity.WARNING, where="VLLM_HOST_IP", message=message)
    words = {word.partition("=")[0].replace("_", "-") for word in command.argv}
    if "--allowed-media-domains" not in words:
        yield _error("--allowed-media-domains", Message("closure.media", {}))
    if not words & {"--disable-fastapi-docs", "--enable-offline-docs"}:
        message = Message("closure.docs", {})
        yield Finding(severity=Severity.WARNING, where="--disable-fastapi-docs", message=message)


def _is_here(value: str, carried: Collection[str]) -> bool:
    return value.startswith("/") or value in carried


def _at(value: Any, *keys: str) -> Any:
    """What lies in objects in objects; None where one of them is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _error(where: str, message: Message) -> Finding:
    return Finding(severity=Severity.ERROR, where=where, message=message)

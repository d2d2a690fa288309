"""Options and variables of the engine that selfhost owns, and the reading of what is given after `--`.

Owned are those that decide where the server listens, who may enter and which process answers: with one of them changed
behind its back, selfhost could neither reach the server nor guard it. They are refused by name. Settings that selfhost
has itself are taken as those settings, so that the plan counts them. Everything else goes to the engine as it is, once
it is known to have such an option: the engine would find a misspelt one only after half a minute, and reads
abbreviations (`--midd`) and files (`--config`) in which an owned one could hide.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.engines import additional_config
from selfhost.errors import TrustError, UsageError
from selfhost.messages import Message, word
from selfhost.planner.plan import PlanRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.engines.known import Flag, Known

_LISTENING, _TLS, _KEYS, _FRONT, _FILE, _ENGINE, _FORMAT = (
    "owned.listening",
    "owned.tls",
    "owned.keys",
    "owned.front_end",
    "owned.config_file",
    "owned.part_of_plan",
    "owned.format",
)
_PICKLE_FORMATS = ("pt", "npcache")
"""Values of `--load-format` that read pickle files, which run code when they are opened."""

FLAGS: Mapping[str, str] = {
    "--uds": _LISTENING,
    "--root-path": _LISTENING,
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
    "--enable-ssl-refresh": _TLS,
    "--ssl-ca-certs": "owned.tls_clients",
    "--ssl-cert-reqs": "owned.tls_clients",
    "--ssl-ciphers": _LISTENING,
    "--api-key": _KEYS,
    "--middleware": _KEYS,
    "--hf-token": _KEYS,
    "--grpc": _FRONT,
    "--grpc-port": _FRONT,
    "--headless": _FRONT,
    "--api-server-count": _FRONT,
    "--tokens-only": _FRONT,
    "--enable-scale-out": _FRONT,
    "--data-parallel-external-lb": _FRONT,
    "--data-parallel-hybrid-lb": _FRONT,
    "--data-parallel-multi-port-external-lb": _FRONT,
    "--data-parallel-supervisor-port": _FRONT,
    "--data-parallel-rank": _FRONT,
    "--data-parallel-start-rank": _FRONT,
    "--nnodes": _ENGINE,
    "--node-rank": _ENGINE,
    "--master-addr": _ENGINE,
    "--master-port": _ENGINE,
    "--data-parallel-address": _ENGINE,
    "--data-parallel-rpc-port": _ENGINE,
    "--data-parallel-size-local": _ENGINE,
    "--prefill-context-parallel-size": "owned.layout",
    "--config": _FILE,
    "--model": _ENGINE,
    "--dtype": _FORMAT,
    "--quantization": _FORMAT,
    "--kv-cache-memory-bytes": _ENGINE,
    "--num-gpu-blocks-override": _ENGINE,
    "--enable-offline-docs": _FRONT,
    "--disable-fastapi-docs": _FRONT,
}
"""Long name -> message that says why."""

VARIABLES = (
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "TRANSFORMERS_OFFLINE",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "VLLM_API_KEY",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_HOST_IP",
    "VLLM_MODEL_REDIRECT_PATH",
    "VLLM_NO_USAGE_STATS",
    "VLLM_PORT",
    "VLLM_PP_LAYER_PARTITION",
    "VLLM_RUST_FRONTEND_PATH",
    "VLLM_SERVER_DEV_MODE",
    "VLLM_USE_MODELSCOPE",
    "VLLM_USE_RUST_FRONTEND",
)
"""Variables that a caller's environment must not carry into the engine: they open other ways in (development routes,
adapters at run time, another front end), hand out a key or a token, go to the network, or change what was planned."""

_SETTINGS = {
    "--tensor-parallel-size": int,
    "--pipeline-parallel-size": int,
    "--data-parallel-size": int,
    "--enable-expert-parallel": bool,
    "--decode-context-parallel-size": int,
    "--max-model-len": int,
    "--max-num-seqs": int,
    "--max-num-batched-tokens": int,
    "--gpu-memory-utilization": float,
    "--kv-cache-dtype": str,
    "--enforce-eager": bool,
    "--served-model-name": str,
}
_OWN_OPTIONS = ("--host", "--port")
_NEAREST = 3


class Option(NamedTuple):
    """One option as it was given, with its values."""

    flag: Flag
    given: str
    tokens: tuple[str, ...]
    """Flag and values, as they go to the engine."""
    values: tuple[str, ...]


def parse(arguments: Sequence[str], known: Known) -> list[Option]:
    """The options of an engine command line.

    Raises UsageError for an unknown or owned option, a missing value, or a word that belongs to no option, TrustError
    for one that runs a model's own code.
    """
    found: list[Option] = []
    rest = list(arguments)
    while rest:
        given = rest.pop(0)
        name, equals, inline = given.partition("=")
        if given.startswith("-O") and given != "-O":
            # The engine takes the level without a space: `-O2`, `-O=2`.
            name, equals, inline = "-O", "=", given[2:].removeprefix("=")
        flag = _flag(name, known)
        if flag.name == "--trust-remote-code" and not name.startswith("--no"):
            raise TrustError("owned.remote_code", flag=name)
        values = [inline] if equals else _take(rest, flag)
        if flag.values in (1, "+") and not values:
            raise UsageError("owned.value_missing", flag=given)
        if flag.choices and not set(values) <= set(flag.choices):
            raise UsageError("owned.choice", flag=name, value=" ".join(values), choices=", ".join(flag.choices))
        if flag.name == "--load-format" and set(values) & set(_PICKLE_FORMATS):
            raise TrustError("owned.pickle", flag=name, value=" ".join(values))
        if flag.name == additional_config.FLAG:
            additional_config.check(name, values, known)
        tokens = (given,) if equals else (given, *values)
        found.append(Option(flag, name, tokens, tuple(values)))
    return found


def _flag(name: str, known: Known) -> Flag:
    if not name.startswith("-") or name == "-":
        raise UsageError("owned.not_an_option", word=name)
    # As the engine reads it: `--a_b` is `--a-b`, `--a.b.c` sets a key of the JSON option `--a`, `+` appends to a list.
    plain, dot, _ = name.removesuffix("+").partition(".")
    plain = plain.replace("_", "-")
    flag = known.flags.get("--optimization-level" if plain == "-O" else plain)
    if flag is None:
        raise UsageError(
            "owned.unknown", flag=name, engine=known.ref.name, version=known.ref.version, nearest=nearest(plain, known)
        )
    if dot and flag.values != 1:
        raise UsageError(
            "owned.unknown", flag=name, engine=known.ref.name, version=known.ref.version, nearest=flag.name
        )
    if flag.name in _OWN_OPTIONS:
        raise UsageError("owned.own_option", flag=flag.name)
    if reason := FLAGS.get(flag.name):
        raise UsageError(reason, flag=flag.name)
    return flag


def _take(rest: list[str], flag: Flag) -> list[str]:
    """Remove and return the values that follow an option."""
    most = {0: 0, 1: 1, "?": 1}.get(flag.values, len(rest))
    taken: list[str] = []
    while rest and len(taken) < most and (not rest[0].startswith("-") or _is_number(rest[0])):
        taken.append(rest.pop(0))
    return taken


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def nearest(name: str, known: Known) -> str:
    """The known options that look most like `name`, as text."""
    import difflib

    found = difflib.get_close_matches(name, known.flags, n=_NEAREST, cutoff=0.6)
    return ", ".join(f"`{flag}`" for flag in found) or word("none")


def absorb(request: PlanRequest, known: Known) -> PlanRequest:
    """The request with settings that were given after `--` moved to where the plan sees them.

    Raises UsageError as `parse` does, and for a setting that is given twice with different values.
    """
    rest: list[str] = []
    for option in parse(request.engine_args, known):
        kind = _SETTINGS.get(option.flag.name)
        if kind is None:
            rest += option.tokens
        else:
            request = _with_setting(request, option, kind)
    return replace(request, engine_args=tuple(rest))


def _with_setting(request: PlanRequest, option: Option, kind: type) -> PlanRequest:
    name = option.flag.name.removeprefix("--").replace("-", "_")
    if len(option.values) > 1:
        raise UsageError("owned.one_value", flag=option.flag.name, values=" ".join(option.values))
    value: object
    if kind is bool:
        value = not option.given.startswith("--no-")
    elif name == "max_model_len" and option.values[0].lower() in ("auto", "-1"):
        if request.max_model_len is not None:
            raise UsageError("owned.given_twice", flag=option.flag.name, first=request.max_model_len, second="auto")
        return replace(request, auto_max_model_len=True)
    else:
        try:
            value = read_count(option.values[0]) if kind is int else kind(option.values[0])
        except ValueError:
            raise UsageError("owned.not_a_number", flag=option.flag.name, value=option.values[0]) from None
    before = getattr(request, name)
    if before is not None and before != value:
        raise UsageError("owned.given_twice", flag=option.flag.name, first=before, second=value)
    assert name in {field.name for field in fields(PlanRequest)}
    return replace(request, **{name: value})  # type: ignore[arg-type]


def read_count(text: str) -> int:
    """A count as the engine reads it: `32768`, `32k` (thousands), `32K` (1024s). Raises ValueError.

    Source: vLLM 0.32 utils/argparse_utils.py `human_readable_int`.

    >>> read_count("32k"), read_count("32K"), read_count("1.5m")
    (32000, 32768, 1500000)
    """
    powers = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    factor = powers.get(text[-1:])
    if factor is None:
        return int(text)
    return int(float(text[:-1]) * factor) if text[-1].islower() else int(text[:-1]) * factor


def variable_warnings(environment: Mapping[str, str]) -> dict[str, Message]:
    """Owned variables that an environment carries, with what to tell: they are left out when the engine is started."""
    return {name: Message("owned.variable", {"name": name}) for name in VARIABLES if name in environment}

"""Options and variables of the engine that may change how much memory it takes, beside the settings of a plan.

They are part of what a boot record is about: a start with `--enable-lora` says nothing about one without. Only what is
known to change nothing is left out, so that an option nobody thought of makes records of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import owned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.engines.known import Known

_HARMLESS = frozenset(
    {
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "--tool-parser-plugin",
        "--reasoning-parser",
        "--reasoning-parser-plugin",
        "--chat-template",
        "--chat-template-content-format",
        "--default-chat-template-kwargs",
        "--trust-request-chat-template",
        "--override-generation-config",
        "--generation-config",
        "--response-role",
        "--return-tokens-as-token-ids",
        "--seed",
        "--enable-prompt-tokens-details",
        "--enable-force-include-usage",
        "--enable-request-id-headers",
        "--enable-server-load-tracking",
        "--enable-log-requests",
        "--enable-log-outputs",
        "--enable-log-deltas",
        "--disable-log-stats",
        "--max-log-len",
        "--log-error-stack",
        "--uvicorn-log-level",
        "--disable-uvicorn-access-log",
        "--disable-access-log-for-endpoints",
        "--log-config-file",
        "--allowed-origins",
        "--allowed-methods",
        "--allowed-headers",
        "--allow-credentials",
        "--h11-max-header-count",
        "--allowed-media-domains",
        "--allowed-local-media-path",
        "--shutdown-timeout",
        "--safetensors-load-strategy",
    }
)
"""Options of the API server, of parsing and of logging; how files are read, and the seed."""
_PREFIXES = ("VLLM_", "PYTORCH_", "NCCL_", "HCCL_")
_HARMLESS_VARIABLES = (
    "VLLM_LOGGING_",
    "VLLM_LOG_",
    "VLLM_NO_USAGE_",
    "VLLM_CACHE_ROOT",
    "VLLM_CONFIG_ROOT",
    "NCCL_DEBUG",
    *("HCCL_CONNECT_TIMEOUT", "HCCL_EXEC_TIMEOUT", "HCCL_IF_IP", "HCCL_SOCKET_IFNAME"),
)


def extras(
    recipe: Sequence[str], request: Sequence[str], environment: Mapping[str, str], known: Known
) -> tuple[str, ...]:
    """Further options, the request's replacing those of the recipe, and variables that reach the engine; sorted.

    environment: what the engine would get, without secrets. Raises as `owned.parse` does.
    """
    given = owned.parse(request, known)
    taken = {option.flag.name for option in given}
    options = [*(option for option in owned.parse(recipe, known) if option.flag.name not in taken), *given]
    found = [" ".join((option.given, *option.values)) for option in options if option.flag.name not in _HARMLESS]
    found += [
        f"{name}={value}"
        for name, value in environment.items()
        if name.startswith(_PREFIXES) and not name.startswith(_HARMLESS_VARIABLES)
    ]
    return tuple(sorted(found))

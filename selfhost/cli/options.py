"""Options that several commands share; the names are the engine's own."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from selfhost.cli import complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.planner.plan import PlanRequest

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A recipe, a hub id, or a directory.", autocompletion=complete.models)
]

RecipePath = Annotated[
    list[Path] | None,
    typer.Option(
        "--recipe-path", metavar="PATH", help="Look here for recipes first; may be repeated.", show_default=False
    ),
]
"""Directories with recipes, or .toml files."""

Offline = Annotated[bool, typer.Option("--offline", help="Open no connection but to this machine.")]
"""As `SELFHOST_OFFLINE=1`."""

AcceptLicense = Annotated[
    list[str] | None,
    typer.Option("--accept-license", metavar="ID", help="Accept these terms; remembered.", show_default=False),
]

EnginePython = Annotated[
    Path | None,
    typer.Option(
        "--engine-python",
        metavar="PYTHON",
        envvar="SELFHOST_ENGINE_PYTHON",
        help="Python of another engine environment.",
        show_default=False,
    ),
]
"""Of a first start; `replace` keeps what the server was started with, whatever the variable says."""

EngineVersion = Annotated[
    str | None,
    typer.Option(
        "--engine-version",
        metavar="V",
        help="Of the installed environments the one of this version: 0.32.0, 0.32.0-433d4fcf.",
        show_default=False,
        autocompletion=complete.engine_versions,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def one_engine(python: Path | None, version: str | None) -> None:
    """Raises UsageError when both name an environment."""
    if python and version:
        from selfhost.errors import UsageError

        raise UsageError("versions.python_and_version")


def hardware(text: str, *, panel: str | None = None) -> typer.models.OptionInfo:
    """`--on HW`: devices that need not be there."""
    option: typer.models.OptionInfo = typer.Option(
        "--on", metavar="HW", help=text, show_default=False, autocompletion=complete.hardware, rich_help_panel=panel
    )
    return option


def variant(
    text: str = "Which checkpoint; without it the best that fits.", flag: str = "--variant"
) -> typer.models.OptionInfo:
    """`--variant NAME`, or another flag that names a variant."""
    option: typer.models.OptionInfo = typer.Option(
        flag,
        metavar=None if flag == "--variant" else "VARIANT",
        help=text,
        show_default=False,
        autocompletion=complete.variants,
    )
    return option


_PANEL = "Settings (the engine's own names)"


def _length(text: str) -> str:
    from selfhost.engines.owned import read_count

    if text.lower() in ("auto", "-1"):
        return "auto"
    try:
        return str(read_count(text))
    except ValueError:
        msg = f"{text!r} is neither a number of tokens nor `auto`"
        raise typer.BadParameter(msg) from None


def _option(kind: Any, flag: str, text: str, **more: Any) -> Any:
    return Annotated[kind, typer.Option(flag, help=text, show_default=False, rich_help_panel=_PANEL, **more)]


SETTINGS: dict[str, Any] = {
    "tensor_parallel_size": _option(int | None, "--tensor-parallel-size", "Devices each layer is split over."),
    "pipeline_parallel_size": _option(int | None, "--pipeline-parallel-size", "Stages the layers are split into."),
    "data_parallel_size": _option(int | None, "--data-parallel-size", "Copies of the attention part."),
    "goal": _option(
        Literal["latency", "throughput", "context"] | None, "--for", "What the layout is chosen for, where several fit."
    ),
    "enable_expert_parallel": _option(
        bool | None, "--enable-expert-parallel/--no-enable-expert-parallel", "Whole experts per device."
    ),
    "max_model_len": _option(
        str | None,
        "--max-model-len",
        "Tokens of prompt and answer; `auto`: the longest that fits.",
        metavar="TOKENS|auto",
        parser=_length,
    ),
    "max_num_seqs": _option(int | None, "--max-num-seqs", "Requests at a time."),
    "max_num_batched_tokens": _option(int | None, "--max-num-batched-tokens", "Tokens in one step."),
    "gpu_memory_utilization": _option(
        float | None, "--gpu-memory-utilization", "Fraction of the visible memory to use."
    ),
    "kv_cache_dtype": _option(str | None, "--kv-cache-dtype", "`auto`, `fp8`, ..."),
    "enforce_eager": _option(bool | None, "--enforce-eager/--no-enforce-eager", "Without compilation and graphs."),
    "devices": _option(
        str | None,
        "--devices",
        "Of this machine, as `detect` numbers them: `0,1`, `4-7`, a uuid; without accelerators: cores.",
        metavar="LIST",
        autocompletion=complete.devices,
    ),
    "served_model_name": _option(str | None, "--served-model-name", "Name of the model in the API."),
    "host": _option(
        str | None, "--host", "Address to listen on [127.0.0.1]; any other than loopback needs an API key."
    ),
    "port": _option(
        int | None, "--port", "Port to listen on [8000; `serve` takes the next free one]; 0: any.", min=0, max=65535
    ),
}
"""Parameter name -> its annotation for Typer."""


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all settings as options, and what follows `--`; it receives them as one `request`.

    The command has a parameter `request: PlanRequest`, which is no option. With it the signature that Typer reads is
    put together from the command's own parameters and the settings, so that each is written down once.
    """
    # The record itself is imported when a command runs, so its name means nothing here.
    own = inspect.signature(command, eval_str=True, globals={**command.__globals__, "PlanRequest": object})
    engine_args = Annotated[
        list[str] | None, typer.Argument(metavar="ENGINE_OPTIONS", help="After `--`: handed to the engine.")
    ]
    parameters = [parameter for name, parameter in own.parameters.items() if name != "request"]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in {**SETTINGS, "engine_args": engine_args}.items()
    ]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]

    @functools.wraps(command)
    def with_settings(**values: Any) -> None:
        settings = {name: values.pop(name) for name in (*SETTINGS, "engine_args")}
        command(**values, request=_request(**settings))

    del with_settings.__wrapped__
    with_settings.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_settings.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_settings


def _request(
    *, max_model_len: str | None, goal: str | None, engine_args: list[str] | None, **settings: Any
) -> PlanRequest:
    from selfhost.planner.plan import Goal, PlanRequest

    auto = max_model_len == "auto"
    return PlanRequest(
        max_model_len=None if auto or max_model_len is None else int(max_model_len),
        auto_max_model_len=auto,
        goal=None if goal is None else Goal(goal),
        engine_args=tuple(engine_args or ()),
        host_is_free=settings["host"] is None,
        port_is_free=settings["port"] is None,
        **{name: value for name, value in settings.items() if value is not None},
    )

"""`selfhost quantize`."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import Json, RecipePath  # noqa: TC001 - Typer reads them

if TYPE_CHECKING:
    from selfhost.app.quantize.types import Plan, Request

_ADVICE = "Advice"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("quantize")(_quantize)


def _option(text: str, *names: str, metavar: str | None = None, panel: str | None = None) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        *names, help=text, metavar=metavar, show_default=False, rich_help_panel=panel
    )
    return option


def _quantize(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A recipe, or a directory.", autocompletion=complete.models)
    ],
    *,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme",
            help="fp8, fp8-block, w8a16, int8, nf4, bf16 (of FP8); with text: w8a8, w4a16-gptq, w4a16-awq.",
            show_default=False,
            autocompletion=complete.schemes,
        ),
    ] = None,
    source: Annotated[
        str | None,
        options.variant("What it is made of; without it the one in 16 bits.", "--from"),
    ] = None,
    variant_name: Annotated[
        str | None, _option("Of the new variant; without it the scheme's.", "--variant-name")
    ] = None,
    group_size: Annotated[
        int | None, _option("Inputs that share a scale: 128, 64, 32 [the largest that fits].", "--group-size")
    ] = None,
    calibration: Annotated[
        Path | None,
        _option("Text instead of the one that ships: .txt, .jsonl.", "--calibration", metavar="FILE"),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", help="Of it, at most: 2048 tokens each, on a CPU 512.", min=1)
    ] = 512,
    max_kl: Annotated[
        float | None, _option("Give it no name where it lost more: mean KL divergence.", "--max-kl", metavar="X")
    ] = None,
    loss: Annotated[bool, typer.Option("--loss/--no-loss", help="Measure what was lost.")] = True,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option("--device", help="What computes.")] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="Tensors at a time [one per core].", metavar="N", min=1, show_default=False),
    ] = None,
    output: Annotated[
        Path | None, _option("Make a plain directory instead of a variant.", "--output", metavar="DIR")
    ] = None,
    engine_python: Annotated[
        Path | None, _option("Of an environment with llm-compressor.", "--engine-python", metavar="PYTHON")
    ] = None,
    in_flight: Annotated[
        bool,
        typer.Option("--in-flight", help="nf4: make no files; the engine does it each time it loads."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it takes; make nothing.")] = False,
    advise: Annotated[
        bool, typer.Option("--advise", help="Which scheme suits a device; makes nothing.", rich_help_panel=_ADVICE)
    ] = False,
    on: Annotated[
        str | None,
        options.hardware("With --advise: `8xA800-80G`, `1xRTX4090`; without it this machine.", panel=_ADVICE),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Of a directory that msModelSlim wrote: can it be loaded?", rich_help_panel=_ADVICE
        ),
    ] = False,
    recipe_path: RecipePath = None,
    as_json: Json = False,
) -> None:
    """Make a variant of a model: smaller weights, and what that cost.

    Runs in its own environment: `selfhost engine install quantize`. What is made is served, planned and bundled as any
    other variant: `--variant NAME`. Interrupted, the same command goes on with what is finished; schemes that read text
    (w8a8, w4a16-gptq, w4a16-awq) start from the beginning, since each layer is measured on what those before it give.

        selfhost quantize qwen2.5-72b --advise --on 8xA800-80G

        selfhost quantize qwen2.5-7b --scheme w8a8 --max-kl 0.05

        selfhost quantize ./my-model --scheme fp8 --output ./my-model-fp8
    """
    from selfhost.app.quantize.types import Request
    from selfhost.errors import UsageError
    from selfhost.quantize import schemes

    if check:
        _refuse_others(ctx, "--check")
        _check(model, as_json=as_json)
        return
    if advise:
        _refuse_others(ctx, "--advise")
        _advise(model, on, recipe_path or [], as_json=as_json)
        return
    if on is not None:
        raise UsageError("quantize.on_without_advise")
    if scheme is None:
        names = ", ".join(one.name for one in schemes.SCHEMES)
        raise UsageError("quantize.no_scheme", names=names, model=model)
    if in_flight:
        _refuse_others(ctx, "--in-flight")
        _register(model, scheme, source, variant_name, recipe_path or [], as_json=as_json)
        return
    request = Request(
        model=model,
        scheme=schemes.find(scheme),
        source=source,
        name=variant_name,
        group_size=group_size,
        calibration=calibration,
        samples=samples,
        max_kl=max_kl,
        loss=loss,
        device=device,
        jobs=jobs,
        output=output,
        python=engine_python,
        recipe_paths=tuple(recipe_path or ()),
    )
    _make(request, dry_run=dry_run, as_json=as_json)


_TAKEN = {
    "--check": {"model", "check", "as_json", "engine_python"},
    "--advise": {"model", "advise", "on", "recipe_path", "as_json", "engine_python"},
    "--in-flight": {
        "model",
        "in_flight",
        "scheme",
        "source",
        "variant_name",
        "recipe_path",
        "as_json",
        "engine_python",
    },
}
"""Options of what makes no files; any other would be passed over without a word."""


def _refuse_others(ctx: typer.Context, mode: str) -> None:
    from selfhost.errors import UsageError

    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name not in _TAKEN[mode] and source is not None and source.name == "COMMANDLINE":
            raise UsageError("quantize.makes_no_files", option=parameter.opts[0], mode=mode)


def _advise(model: str, on: str | None, recipe_paths: list[Path], *, as_json: bool) -> None:
    from selfhost.app.detect import hardware_for
    from selfhost.app.quantize.advise import advise_on
    from selfhost.cli import output
    from selfhost.errors import ExitCode
    from selfhost.home import find_home
    from selfhost.quantize.advise_text import draw

    advice = advise_on(model, hardware_for(on, find_home()), recipe_paths)
    if as_json:
        output.write_json(advice.as_dict())
    else:
        with output.people():
            drawn = draw(advice)
        output.write(drawn)
    if advice.best is None:
        raise typer.Exit(ExitCode.NO)


def _check(model: str, *, as_json: bool) -> None:
    from selfhost.app.quantize.check import check
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.errors import ExitCode

    found = check(model)
    if as_json:
        output.write_json(found.as_dict())
    elif not found.findings:
        counts = ", ".join(f"{kind} {count}" for kind, count in found.counts.items())
        modules = sum(found.counts.values())
        output.write(text("modelslim.sound", path=found.directory, modules=modules, counts=counts))
    for one in found.findings:
        output.print_message(one.message)
    if found.findings:
        raise typer.Exit(ExitCode.INTEGRITY)


def _register(
    model: str, scheme: str, source: str | None, name: str | None, recipe_paths: list[Path], *, as_json: bool
) -> None:
    from selfhost.app.quantize.in_flight import register
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.home import find_home
    from selfhost.quantize import schemes

    made = register(model, schemes.find(scheme), find_home(), source=source, name=name, recipe_paths=recipe_paths)
    output.note(text("quantize.registered", path=made.path, name=made.recipe, variant=made.variant))
    output.note(text("quantize.use_it", name=made.recipe, variant=made.variant))
    if as_json:
        output.write_json(made.as_dict())


def _make(request: Request, *, dry_run: bool, as_json: bool) -> None:
    from selfhost.app.quantize import make
    from selfhost.cli import output
    from selfhost.cli.following import Listener
    from selfhost.cli.output import text
    from selfhost.home import find_home
    from selfhost.units import format_duration

    home = find_home()
    plan = make.plan(request, home)
    if dry_run:
        _print_plan(plan, as_json=as_json)
        return
    started = time.monotonic()
    made = make.run_plan(plan, home, Listener())
    name = f"{plan.source.name} ({plan.variant})" if plan.variant else plan.source.name
    if made.already:
        output.note(text("quantize.there_already", name=name, path=plan.directory))
    else:
        duration = format_duration(time.monotonic() - started)
        output.note(text("quantize.made", name=name, duration=duration, path=plan.directory))
    if plan.variant and made.recipe:
        output.note(text("quantize.use_it", name=plan.source.name, variant=plan.variant))
    if as_json:
        output.write_json(made.as_dict())
    else:
        output.write(str(plan.directory))


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from selfhost.app.quantize import preflight, run
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    if as_json:
        output.write_json(plan.as_dict())
        return
    needs = plan.needs
    sizes = {"size": format_bytes(plan.source.weight_bytes), "output": format_bytes(needs.output_bytes)}
    names = {"name": plan.source.name, "variant": plan.variant or plan.directory, "source": plan.source.shown}
    output.write(text("quantize.dry_run", scheme=plan.request.scheme.name, **names, **sizes))
    memory = {"memory": format_bytes(needs.memory_bytes), "terms": preflight.terms(needs)}
    output.write(text("quantize.dry_run_needs", disk=format_bytes(needs.disk_bytes), **memory))
    output.write(text("quantize.dry_run_argv", python=plan.python, script=run.script(plan.request.scheme.script.value)))

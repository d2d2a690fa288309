"""Make a variant: what it takes is looked at first, then the script runs, then the result is checked and taken in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.app.quantize import earlier as earlier_runs
from selfhost.app.quantize import leftovers, loss, preflight, publish, run, user_recipe
from selfhost.app.quantize import source as sources
from selfhost.app.quantize.types import Made, Plan, Request, Talk
from selfhost.errors import IntegrityError, NoError, SelfhostError, UsageError
from selfhost.models.arch import ModelArch
from selfhost.quantize import job as jobs
from selfhost.weights import check, store

if TYPE_CHECKING:
    from selfhost.app.quantize.source import SourceModel
    from selfhost.home import Home
    from selfhost.quantize.job import Done


def plan(request: Request, home: Home) -> Plan:
    """What a request comes to. Raises what stands against it; nothing is written."""
    source = sources.find(request.model, request.source, request.scheme, home, request.recipe_paths)
    preflight.limit(request.scheme, request.max_kl)
    variant = _variant_name(request, source)
    directory, work = _places(request, source, variant, home)
    size = preflight.group_size(source.arch, request.scheme, request.group_size, source.shown)
    calibration = preflight.calibration(request.scheme, request.calibration, request.samples)
    job = jobs.Job(
        scheme=request.scheme.name,
        source=str(source.directory),
        target=str(work / "model"),
        group_size=size,
        device=request.device,
        jobs=request.jobs or len(os.sched_getaffinity(0)),
        calibration=calibration,
    )
    needs = preflight.needs_of(source, request, size, calibration)
    return Plan(
        request=request,
        source=source,
        variant=variant,
        directory=directory,
        work=work,
        job=job,
        needs=needs,
        python=run.python_of(home, request.python),
    )


def _variant_name(request: Request, source: SourceModel) -> str | None:
    if source.recipe is None:
        if request.name is not None:
            raise UsageError("quantize.name_of_directory", name=request.name, path=source.directory)
        return None
    if request.output is not None:
        if request.name is not None:
            raise UsageError("quantize.name_or_directory", name=request.name)
        return None
    if request.name is None:
        free = user_recipe.is_free(source.recipe, request.scheme.name)
        return request.scheme.name if free else f"{request.scheme.name}-local"
    user_recipe.check_name(source.recipe, request.name)
    return request.name


def _places(request: Request, source: SourceModel, variant: str | None, home: Home) -> tuple[Path, Path]:
    """Where the result will lie, and where it is made: on one file system, so that no byte is copied."""
    if request.output is not None:
        directory = _output(request.output, source, request.scheme.name)
        return directory, directory.parent / f".{directory.name}.selfhost-quantize"
    if source.recipe is None or variant is None or source.recipe_path is None:
        raise UsageError("quantize.output_needed", path=source.directory, scheme=request.scheme.name)
    user_recipe.check_place(source.name, source.recipe_path, home)
    return store.model_directory(home.models, source.name, variant), home.quantize / source.name / variant


def _output(output: Path, source: SourceModel, scheme: str) -> Path:
    """The directory of `--output`; raises UsageError for one that the result cannot take the place of in the end."""
    directory = Path(os.path.abspath(output))  # noqa: PTH100 - links on the way stay as the user wrote them
    if directory.is_symlink():
        directory = directory.resolve()  # a directory cannot take the place of a link
    if directory.exists() and not directory.is_dir():
        raise UsageError("quantize.output_no_directory", path=directory)
    if directory.is_dir():
        _check_empty(directory)
    if not directory.parent.is_dir():
        raise UsageError("quantize.no_parent", path=directory, parent=directory.parent)
    if directory.is_mount():
        raise UsageError("quantize.output_mounted", path=directory, name=source.name)
    if directory.resolve().is_relative_to(source.directory.resolve()):
        raise UsageError("quantize.output_in_source", path=directory, source=source.directory, scheme=scheme)
    return directory


def _check_empty(directory: Path) -> None:
    if any(directory.iterdir()):
        raise UsageError("quantize.output_not_empty", path=directory)


def run_plan(plan: Plan, home: Home, talk: Talk) -> Made:
    """Carry it out. What an interrupted run finished is kept, but with calibration: the same command goes on there.

    Raises NoSpaceError and MissingError before anything is written, what the script says is wrong, IntegrityError for
    a result that is not what was asked for, NoError where it lost more than `--max-kl`.
    """
    if (there := _already(plan, home)) is not None:
        return there
    files.make_directory(plan.work.parent)
    with files.hold_lock(leftovers.lock_of(plan.work), blocking=False) as got:
        if not got:
            raise NoError("quantize.runs", path=plan.work)
        # Another run may have come to its end between the first look and the lock.
        if (there := _already(plan, home)) is not None:
            leftovers.lock_of(plan.work).unlink(missing_ok=True)
            return there
        earlier = earlier_runs.open_work(plan, _key(plan))
        preflight.check(plan.needs, plan.work, home, scheme=plan.request.scheme, have_bytes=earlier.have_bytes)
        talk.note(earlier_runs.announcement(plan, earlier))
        began = time.monotonic() - earlier.seconds
        done = earlier.done or _run(plan, talk)
        earlier_runs.keep(plan, done, time.monotonic() - began)
        with earlier_runs.dropped_when_bad(plan):
            lost = loss.measure(plan, talk)
            provenance = _provenance(plan, done, time.monotonic() - began)
            files.write_json(Path(plan.job.target) / jobs.PROVENANCE_NAME, provenance)
            recipe = publish.publish(plan, done, home, talk)
        shutil.rmtree(plan.work, ignore_errors=True)
        leftovers.lock_of(plan.work).unlink(missing_ok=True)
    return Made(plan=plan, provenance=provenance, loss=lost, recipe=recipe)


def _run(plan: Plan, talk: Talk) -> Done:
    scheme = plan.request.scheme
    with talk.following(scheme.name) as tell:
        done = run.run(plan.python, run.script(scheme.script), plan.work / "job.json", plan.work / "log.txt", tell)
    _check_result(plan, done)
    return done


def _already(plan: Plan, home: Home) -> Made | None:
    """The same variant, made of the same source by the same arguments; None when there is none of that name.

    A recipe that does not know it (the run that made it was killed then) gets to know it. Raises NoError for another
    one of that name, and where it lost more than `--max-kl`, or nobody knows how much; UsageError for a directory that
    was filled meanwhile.
    """
    if not plan.directory.is_dir():
        return None
    if plan.request.output is not None:
        _check_empty(plan.directory)
        return None
    provenance = files.read_json(plan.directory / jobs.PROVENANCE_NAME)
    if provenance is None or provenance.get("key") != _key(plan):
        raise NoError("quantize.exists", name=plan.source.name, variant=plan.variant, path=plan.directory)
    lost = files.read_json(plan.directory / jobs.LOSS_NAME)
    if lost is None and plan.request.max_kl is not None:
        raise NoError("quantize.not_measured", name=plan.source.name, variant=plan.variant)
    if lost is not None:
        loss.gate(plan.request.max_kl, lost, plan.directory)
    path = plan.source.recipe_path
    recipe = plan.source.recipe
    if recipe is not None and all(one.name != plan.variant for one in recipe.variants):
        path = user_recipe.add(plan, store.read_lock(plan.directory), home)
    return Made(plan=plan, provenance=provenance, loss=lost, recipe=path, already=True)


def _key(plan: Plan) -> str:
    """Tells runs apart whose results differ: the source, the scheme and its arguments; not where, nor by how many."""
    body = plan.job.as_dict()
    told = {name: body[name] for name in ("scheme", "group_size", "ignore", "calibration")}
    if told["calibration"]:
        told["calibration"] = {key: value for key, value in told["calibration"].items() if key != "file"}
    return hashlib.sha256(json.dumps([plan.source.digest, told], sort_keys=True).encode()).hexdigest()


def _check_result(plan: Plan, done: Done) -> None:
    """Raises IntegrityError for a result that is not whole, or not in the format that was asked for."""
    target = Path(plan.job.target)
    for file in done.files:
        path = target / file.path
        found = path.stat().st_size if path.is_file() else None
        if found != file.size:
            detail = f"`{file.path}` has {found} bytes, {file.size} were written"
            raise IntegrityError("quantize.bad_result", path=target, detail=detail)
    try:
        config = check.check_directory(target).config
        quantization = ModelArch.from_config(config).quantization
    except SelfhostError as error:
        detail = f"{error.message.what}; {error.message.why}".replace("\n", "; ")
        raise IntegrityError("quantize.bad_result", path=target, detail=detail) from error
    found_format = quantization.format if quantization else None
    if found_format is not plan.request.scheme.format:
        detail = f"its config.json says {found_format or 'nothing'} of quantization, not {plan.request.scheme.format}"
        raise IntegrityError("quantize.bad_result", path=target, detail=detail)


def _provenance(plan: Plan, done: Done, seconds: float) -> dict[str, Any]:
    from selfhost import __version__

    source = plan.source
    return {
        "schema_version": jobs.SCHEMA_VERSION,
        "key": _key(plan),
        "scheme": plan.request.scheme.name,
        "source": {"model": source.name, "variant": source.variant, "sha256": source.digest},
        "job": {k: v for k, v in plan.job.as_dict().items() if k not in ("schema_version", "source", "target")},
        "tools": {"selfhost": __version__, **run.versions(plan.python)},
        "used": dict(done.used),
        "peak_rss_bytes": done.peak_rss_bytes,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }

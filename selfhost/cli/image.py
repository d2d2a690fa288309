"""`selfhost image build|ls`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

JSON = typer.Option(False, "--json", help="Print one JSON object.")
WITH = typer.Option(
    None, "--with", metavar="PROGRAM", help="podman, buildah or docker [the first].", show_default=False
)

group = typer.Typer(
    name="image",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Container images of selfhost with an engine, for `selfhost render`.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group)


@group.command()
def build(  # noqa: PLR0917 - Typer reads them by name
    name: str = typer.Argument(help="cpu, cuda, ascend, quantize or quantize-cpu.", show_default=False),
    base: str = typer.Option("", help="Build on this image: `NAME@sha256:...`.", metavar="IMAGE", show_default=False),
    wheelhouse: Path = typer.Option(
        None, help="Take wheels from this folder; no index is asked.", metavar="DIR", show_default=False
    ),
    program: str = WITH,
    tag: str = typer.Option("", help="Name of the image [localhost/selfhost-NAME:VERSION].", show_default=False),
    python: str = typer.Option("", help="Version of the base's Python: `3.12`.", show_default=False),
    isolation: str = typer.Option("", help="`chroot` where no container can be run.", show_default=False),
    sbom: Path = typer.Option(None, help="Write the bill of materials here too.", metavar="FILE", show_default=False),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the builder's command and what it would get."),
    as_json: bool = JSON,
) -> None:
    """Build an image and print its name.

    Examples: selfhost image build cpu; selfhost image build cuda --base registry.example/vllm-openai@sha256:...
    """
    import shlex
    import time
    from pathlib import Path

    from selfhost.app import engine, image
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home
    from selfhost.images.kinds import find_kind
    from selfhost.units import format_bytes, format_duration

    kind = find_kind(name)
    request = image.ImageRequest(
        kind=kind,
        builder=image.parse_builder(program),
        base=base,
        wheelhouse=wheelhouse,
        tag=tag,
        python=python,
        isolation=isolation,
        sbom=sbom,
    )
    image.check(request)
    if not image.is_pinned(base or kind.base):
        output.warn(text("container.base_tag", base=base or kind.base))
    if dry_run:
        argv = image.command(request, image.pick(request.builder), Path("CONTEXT"))
        if as_json:
            said = {"reference": request.reference, "argv": argv, "context": image.context_files(kind)}
            output.write_json({"schema_version": image.SCHEMA_VERSION, **said})
        else:
            output.write(shlex.join(argv))
        return
    started = time.monotonic()
    with StatusLine() as line:
        builder, made = image.build(
            find_home(),
            request,
            output.note,
            lambda progress: line.show(progress.phase, engine.told(kind.engine, progress)),
        )
    duration = format_duration(time.monotonic() - started)
    said = {"size": format_bytes(made.size), "digest": made.digest or made.id, "builder": builder.value}
    output.note(text("container.built", reference=made.reference, duration=duration, **said))
    if as_json:
        output.write_json(image.as_json(builder, [made]))
    else:
        output.write(made.reference)


@group.command("ls")
def list_images(program: str = WITH, as_json: bool = JSON) -> None:
    """List the images called localhost/selfhost-...: name, size, digest. Those of `--tag` the builder lists."""
    from selfhost.app import image
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    builder = image.pick(image.parse_builder(program))
    found = image.listing(builder)
    if as_json:
        output.write_json(image.as_json(builder, found))
        return
    if not found:
        output.note(text("container.none", builder=builder.value))
    for one in found:
        output.write(f"{one.reference}  {format_bytes(one.size)}  {one.digest or one.id}")

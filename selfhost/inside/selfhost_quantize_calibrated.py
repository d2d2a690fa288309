"""Calibrated quantization with llm-compressor: GPTQ, AWQ, SmoothQuant. Runs in the quantize environment.

    QUANTIZE_PYTHON selfhost_quantize_calibrated.py JOB.json

JOB: as for selfhost_quantize_stream.py, with "scheme": "w4a16-gptq" | "w4a16-awq" | "w8a8" and "calibration": {"file":
a text, or null for selfhost's own; "samples": the most of them; "length": tokens of one}. A run that was cut off starts
again, since each layer is calibrated on what the layers before it give.

The model lies in memory, or on disk where it does not fit, and goes layer by layer to the device that works on it.
Events go to stdout, a line of JSON each; what libraries say goes to stderr. Source: llm-compressor 0.14.0.
"""

from __future__ import annotations

import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from selfhost_calibrate_layers import choose, group_size, pairs
from selfhost_calibrate_run import Job, device_of, main, peak_rss_bytes
from selfhost_calibrate_text import LEAST_SAMPLES, digest, own_passages, passages_of, refused, samples_of
from selfhost_quantize_config import section
from selfhost_quantize_events import DETAIL, Progress, Refused, shortened, tell
from selfhost_quantize_files import CONFIG, others, read_header, read_json, weight_files, write_json
from selfhost_quantize_state import sha256_of

GPTQ, AWQ, W8A8 = "w4a16-gptq", "w4a16-awq", "w8a8"
SCHEMES = (GPTQ, AWQ, W8A8)
LENGTH = {"cpu": 512, "cuda": 2048}
"""Tokens of a sample, where the job names none; as many as a model takes, if that is fewer."""
MOST = {("cpu", AWQ): 32, ("cuda", AWQ): 128}
"""Samples, whatever is asked for: AWQ tries every scale of its grid for each layer, with all of them."""
GRID = {"cpu": 8, "cuda": 20}
"""Scales that AWQ tries; 20 are llm-compressor's."""
SHARD = "4GB"
OFFLOAD = ".offload"
SMOOTHING = 0.5
"""Half of the range of the activations goes into the weights: the paper's own middle (arXiv:2211.10438, 4.1)."""
TOOLS = ("llmcompressor", "compressed-tensors", "transformers", "torch", "accelerate")


def quantize(job: Job) -> None:
    """Check what can be checked before anything is loaded, then calibrate and save."""
    began = time.monotonic()
    source, target, scheme = Path(job["source"]), Path(job["target"]), job["scheme"]
    config = read_json(source / CONFIG)
    if scheme not in SCHEMES or job.get("schema_version") != 1:
        raise Refused("quantize.bad_job", detail=f"scheme {scheme}, schema {job.get('schema_version')}")
    if said := section(config):
        raise Refused("quantize.already", method=str(said.get("quant_method") or "unknown"))
    shapes = {name: tensor.shape for path in weight_files(source) for name, tensor in read_header(path).items()}
    choice = choose(config, shapes, job.get("ignore") or ())
    size = None if scheme == W8A8 else group_size(choice.layers, job.get("group_size"))
    calibration = job.get("calibration") or {}
    passages = passages_of(Path(calibration["file"])) if calibration.get("file") else own_passages()
    device = device_of(job)
    calibration = {**calibration, "most": MOST.get((device, scheme))}
    samples = tokenized(source, config, passages, calibration, device)
    if target.exists():
        shutil.rmtree(target)  # of a run that was cut off: nothing in it can be gone on with
    target.mkdir(parents=True)
    model = load(source, target / OFFLOAD)
    check_numbers(model, source)
    modifiers = recipe(model, scheme, size, choice.plain, GRID[device])
    passes = sum(modifier.requires_calibration_data for modifier in modifiers)
    size_bytes = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    tell("plan", files=1, bytes=passes * size_bytes, device=device, quantized=len(choice.layers))
    calibrate(model, modifiers, samples)
    save(model, source, target, choice.plain)
    used = {"sha256": digest(passages), "samples": len(samples), "length": len(samples[0])}
    finish(target, seconds=round(time.monotonic() - began, 1), device=device, group_size=size, calibration=used)


def tokenized(
    source: Path, config: dict[str, Any], passages: list[Any], wanted: dict[str, Any], device: str
) -> list[list[int]]:
    """The samples that calibrate, of all the text or as many as were asked for. Raises Refused for too few."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise Refused("quantize.unsupported", detail=f"its tokenizer cannot be read: {shortened(error)}") from error
    limit = int((config.get("text_config") or config).get("max_position_embeddings") or LENGTH[device])
    length = min(int(wanted.get("length") or LENGTH[device]), limit)
    counts = [int(count) for count in (wanted.get("samples"), wanted.get("most")) if count]
    count = min(counts, default=None)
    found = samples_of(tokenizer, passages, length, count)
    if len(found) < min(LEAST_SAMPLES, count or LEAST_SAMPLES):
        detail = f"it gives {len(found)} samples of {length} tokens; at least {LEAST_SAMPLES} are needed"
        raise refused(Path(str(wanted.get("file") or "")), detail)
    return found


def load(source: Path, offload: Path) -> Any:
    """The model, experts as single matrices; what does not fit into memory stays on disk."""
    from llmcompressor.utils.dev import load_context
    from transformers import AutoModelForCausalLM

    silence_aliases()
    try:
        with load_context():
            return AutoModelForCausalLM.from_pretrained(
                source, dtype="auto", device_map="auto_offload", offload_folder=str(offload), trust_remote_code=False
            )
    except (ValueError, KeyError) as error:
        raise Refused("quantize.unsupported", detail=str(error).splitlines()[0][:DETAIL]) from error


def check_numbers(model: Any, source: Path) -> None:
    """Raises Refused for a weight that is no number: after hours of calibration only scales would tell of it."""
    for name, parameter in model.named_parameters():
        if not parameter.is_meta and not bool(parameter.isfinite().all()):
            raise Refused("quantize.not_finite", tensor=name, path=str(source))


def silence_aliases() -> None:
    """Keep transformers' old names of modules from importing what they stand for when they are only listed.

    Replacing a class of experts lists every module there is (transformers 5 monkey_patching.py `apply_patches`), and
    those of images need torchvision, which is not here and not needed.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.") and "__dir__" in vars(module) and getattr(module, "__file__", "") is None:
            vars(module)["__dir__"] = list


def recipe(model: Any, scheme: str, size: int | None, plain: tuple[str, ...], grid: int) -> list[Any]:
    """llm-compressor's modifiers for a scheme."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQMapping, AWQModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    if scheme == W8A8:
        weights = QuantizationArgs(num_bits=8, strategy="channel", symmetric=True)
        inputs = QuantizationArgs(num_bits=8, strategy="token", symmetric=True, dynamic=True)
    else:
        # Zero points cost an eighth of a bit; round-to-nearest after AWQ needs them more than GPTQ does.
        weights = QuantizationArgs(num_bits=4, strategy="group", group_size=size, symmetric=scheme != AWQ)
        inputs = None
    groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights, input_activations=inputs)}
    names = [name for name, _ in model.named_modules()]
    if scheme == GPTQ:
        return [GPTQModifier(config_groups=groups, ignore=list(plain))]
    found = pairs(names, plain, experts=scheme == AWQ)
    if found is None:
        detail = f"{scheme} knows no layers of {type(model).__name__} to move scales between; w4a16-gptq needs none"
        raise Refused("quantize.unsupported", detail=detail)
    if scheme == AWQ:
        mappings = [AWQMapping(smooth, list(readers)) for smooth, readers in found]
        return [
            AWQModifier(mappings=mappings, n_grid=grid),
            QuantizationModifier(config_groups=groups, ignore=list(plain)),
        ]
    smoothing = [[list(readers), smooth] for smooth, readers in found if smooth.endswith("norm$")]
    smooth = [SmoothQuantModifier(smoothing_strength=SMOOTHING, mappings=smoothing)] if smoothing else []
    return [*smooth, GPTQModifier(config_groups=groups, ignore=list(plain))]


def calibrate(model: Any, modifiers: list[Any], samples: list[list[int]]) -> None:
    """Run the modifiers layer by layer, all experts on all tokens; says what is done after each layer."""
    import torch
    from llmcompressor import oneshot
    from llmcompressor.core import LifecycleCallbacks
    from llmcompressor.pipelines.cache import IntermediatesCache
    from torch.utils.data import DataLoader

    if not torch.accelerator.is_available():
        # AWQ pins memory for an accelerator without asking whether there is one.
        IntermediatesCache.pin_memory = lambda *_, **__: None
    progress, ended = Progress(), LifecycleCallbacks.sequential_epoch_end

    def counted(modules: Any, **values: Any) -> Any:
        done = ended(modules, **values)
        own = [parameter for module in modules for parameter in module.parameters(recurse=False)]
        progress.add(sum(parameter.numel() * parameter.element_size() for parameter in own), "")
        return done

    LifecycleCallbacks.sequential_epoch_end = counted
    # `independent`: GPTQ measures what smoothed layers are handed. In one pass with SmoothQuant it would correct for
    # inputs that its layers no longer get: several times the error where norms have outliers.
    rows = [torch.tensor([sample]) for sample in samples]
    batches = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
    oneshot(model=model, dataset=DataLoader(batches, batch_size=None), recipe=modifiers, pipeline="independent")


def save(model: Any, source: Path, target: Path, plain: tuple[str, ...]) -> None:
    """Write the compressed model with the source's own tokenizer, which a library would write anew, and check it."""
    model.save_pretrained(target, save_compressed=True, max_shard_size=SHARD)
    shutil.rmtree(target / OFFLOAD, ignore_errors=True)
    # llm-compressor's record of what it did names Python classes: nobody should load that.
    (target / "recipe.yaml").unlink(missing_ok=True)
    for path in others(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
    config = read_json(target / CONFIG)
    # Routers are no linear layers to transformers, so llm-compressor does not list them; to the engine they are.
    listed = config["quantization_config"].get("ignore") or []
    config["quantization_config"]["ignore"] = list(dict.fromkeys([*listed, *plain]))
    write_json(target / CONFIG, config)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    check(target)


def check(target: Path) -> None:
    """Raises Refused where a scale that was written is not finite."""
    from safetensors import safe_open

    for path in weight_files(target):
        with safe_open(path, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118 - no mapping
                if name.endswith("_scale") and not stream.get_tensor(name).isfinite().all():
                    raise Refused("quantize.bad_result", path=str(path), detail=f"`{name}` is not finite")


def finish(target: Path, **used: object) -> None:
    """Tell of every file, and what provenance wants to know."""
    paths = sorted(path for path in target.rglob("*") if path.is_file())
    files = [
        {"path": path.relative_to(target).as_posix(), "size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in paths
    ]
    tell("done", files=files, peak_rss_bytes=peak_rss_bytes(), versions={n: version(n) for n in TOOLS}, **used)


if __name__ == "__main__":
    sys.exit(main(quantize))

"""Calibrated quantization with llm-compressor: GPTQ, AWQ, SmoothQuant. Runs in the quantize environment.

    QUANTIZE_PYTHON selfhost_quantize_calibrated.py JOB.json

The job: `scheme` (w4a16-gptq, w4a16-awq, w8a8), `source` and `target` directories, and where given `group_size`,
`ignore` (patterns of compressed-tensors), `device` (auto, cuda, cpu), `jobs` (threads), `calibration`:
{"path": a text, or null for selfhost's own; "samples": blocks; "length": tokens of a block}. `target` is written whole
or not used: a run that was cut off starts again, since each layer is calibrated on what the layers before it give.

The model lies in memory, or on disk where it does not fit, and goes layer by layer to the device that works on it.
Events go to stdout, a line of JSON each; what libraries say goes to stderr. Source: llm-compressor 0.14.0.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -I leaves the script's own folder out

from selfhost_calibrate_files import config_of, copy_others, digests, shapes_of
from selfhost_calibrate_job import INTEGRITY, NO, USAGE, Job, Progress, device_of, fail, peak_rss_bytes, run, say
from selfhost_calibrate_layers import group_size, ignored, linear_layers, pairs
from selfhost_calibrate_text import LEAST_BLOCKS, blocks, digest, own_passages, passages_of

GPTQ, AWQ, W8A8 = "w4a16-gptq", "w4a16-awq", "w8a8"
SCHEMES = (GPTQ, AWQ, W8A8)
LENGTH = 512
SAMPLES = {"cuda": 128, "cpu": 32}
"""Blocks of LENGTH tokens. A processor works for minutes per billion parameters on each."""
SHARD = "4GB"
SMOOTHING = 0.5
"""Half of the range of the activations goes into the weights: the paper's own middle (arXiv:2211.10438, 4.1)."""


def main(job: Job) -> None:
    """Check what can be checked before anything is loaded, then calibrate and save."""
    started = time.monotonic()
    source, target, scheme = Path(job["source"]), Path(job["target"]), job["scheme"]
    if scheme not in SCHEMES:
        fail("calibrate.unknown_scheme", USAGE, scheme=scheme, schemes=", ".join(SCHEMES))
    shapes = shapes_of(source)
    config = config_of(source)
    refuse_quantized(config)
    ignore = list(job.get("ignore") or ignored(config))
    layers = linear_layers(shapes, ignore)
    size = None if scheme == W8A8 else group_size(layers, job.get("group_size"))
    calibration = job.get("calibration") or {}
    path = calibration.get("path")
    passages = passages_of(Path(path)) if path else own_passages()
    device = device_of(job)
    samples = tokenized(source, config, passages, calibration, device)
    target.mkdir(parents=True, exist_ok=True)
    model = load(source, target / ".offload")
    say("plan", files=len(samples), bytes=sum(p.numel() * p.element_size() for p in model.parameters()))
    calibrate(model, recipe(model, scheme, size, ignore), samples)
    save(model, source, target, ignore)
    used = {"text_sha256": digest(passages), "own_text": not path, "samples": len(samples), "length": len(samples[0])}
    report(target, used, device=device, size=size, seconds=time.monotonic() - started)


def refuse_quantized(config: dict[str, Any]) -> None:
    """Raises Failure for a source that is quantized: what was rounded once is not measured again."""
    section = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")
    if section:
        fail("calibrate.already_quantized", USAGE, method=str(section.get("quant_method") or "unknown"))


def tokenized(
    source: Path, config: dict[str, Any], passages: list[Any], wanted: dict[str, Any], device: str
) -> list[list[int]]:
    """The blocks that calibrate. Raises Failure where the text gives too few."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        fail("calibrate.no_tokenizer", NO, path=str(source), detail=str(error).splitlines()[0][:200])
    limit = int((config.get("text_config") or config).get("max_position_embeddings") or LENGTH)
    length = min(int(wanted.get("length") or LENGTH), limit)
    count = int(wanted.get("samples") or SAMPLES[device])
    found = blocks(tokenizer, passages, length, count)
    if len(found) < min(LEAST_BLOCKS, count):
        needed = LEAST_BLOCKS * length
        fail("calibrate.file_short", USAGE, path=str(wanted.get("path")), blocks=len(found), length=length, tokens=needed)
    return found


def load(source: Path, offload: Path) -> Any:
    """The model, experts as single matrices; what does not fit into memory stays on disk."""
    from llmcompressor.utils.dev import load_context
    from transformers import AutoModelForCausalLM

    try:
        with load_context():
            return AutoModelForCausalLM.from_pretrained(
                source, dtype="auto", device_map="auto_offload", offload_folder=str(offload), trust_remote_code=False
            )
    except (ValueError, KeyError, ImportError) as error:
        fail("calibrate.architecture", NO, detail=str(error).splitlines()[0][:300])


def recipe(model: Any, scheme: str, size: int | None, ignore: list[str]) -> list[Any]:
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
        return [GPTQModifier(config_groups=groups, ignore=ignore)]
    found = pairs(names, ignore, experts=scheme == AWQ)
    if found is None:
        fail("calibrate.no_pairs", NO, scheme=scheme, architecture=type(model).__name__)
    if scheme == AWQ:
        mappings = [AWQMapping(smooth, list(readers)) for smooth, readers in found]
        return [AWQModifier(mappings=mappings), QuantizationModifier(config_groups=groups, ignore=ignore)]
    smoothing = [[list(readers), smooth] for smooth, readers in found if smooth.endswith("norm$")]
    smooth = [SmoothQuantModifier(smoothing_strength=SMOOTHING, mappings=smoothing)] if smoothing else []
    return [*smooth, GPTQModifier(config_groups=groups, ignore=ignore)]


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
        progress.add(sum(p.numel() * p.element_size() for p in own), type(modules[-1]).__name__ if modules else "")
        return done

    LifecycleCallbacks.sequential_epoch_end = counted
    rows = [torch.tensor([block]) for block in samples]
    batches = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
    oneshot(model=model, dataset=DataLoader(batches, batch_size=None), recipe=modifiers, pipeline="sequential")


def save(model: Any, source: Path, target: Path, ignore: list[str]) -> None:
    """Write the compressed model with the source's own tokenizer, and check what was written."""
    model.save_pretrained(target, save_compressed=True, max_shard_size=SHARD)
    shutil.rmtree(target / ".offload", ignore_errors=True)
    # llm-compressor's record of what it did names Python classes: nobody should load that.
    (target / "recipe.yaml").unlink(missing_ok=True)
    copy_others(source, target)
    config = config_of(target)
    section = config["quantization_config"]
    # Routers are no linear layers to transformers, so llm-compressor does not list them; they are to the engine.
    patterns = [pattern for pattern in ignore if pattern.startswith("re:")]
    section["ignore"] = list(dict.fromkeys([*section.get("ignore", ()), *patterns]))
    (target / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in target.iterdir():
        path.chmod(0o644)
    check(target)


def check(target: Path) -> None:
    """Raises Failure where a scale that was written is not finite."""
    from safetensors import safe_open

    for path in sorted(target.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118 - no mapping
                if name.endswith("_scale") and not stream.get_tensor(name).isfinite().all():
                    fail("calibrate.not_finite", INTEGRITY, tensor=name)


def report(target: Path, used: dict[str, object], *, device: str, size: int | None, seconds: float) -> None:
    """The last event: files, and what provenance wants to know."""
    from importlib.metadata import version

    tools = ("llmcompressor", "compressed-tensors", "transformers", "torch", "accelerate")
    say(
        "done",
        files=digests(target),
        peak_rss_bytes=peak_rss_bytes(),
        seconds=round(seconds, 1),
        device=device,
        group_size=size,
        calibration=used,
        tools={name: version(name) for name in tools},
    )


if __name__ == "__main__":
    raise SystemExit(run(main))

"""Compares what calibration and the loss report do with what libraries do by themselves.

    QUANTIZE_PYTHON tests/inside/calibrate_there.py CHECK [DIRECTORY]
    QUANTIZE_PYTHON tests/inside/calibrate_there.py fork

The second imports what takes long, and then runs scripts one after the other, each in a child of its own: a line of
JSON on stdin names the script, its arguments and a file for each output, a line on stdout its exit status.

Runs in the `quantize` environment: it has torch, transformers, bitsandbytes, compressed-tensors and llm-compressor.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))

import selfhost_loss_weights as loss_weights
import selfhost_quantize_loss as loss

ROWS, COLUMNS = 96, 256


def directory(tensors: dict[str, torch.Tensor], section: dict, folder: Path) -> loss_weights.Weights:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": section}))
    return loss_weights.Weights(folder)


def check_compressed(folder: Path) -> None:
    """Each format of compressed-tensors is read as its own library reads it."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    cases = {
        "pack-quantized": [
            QuantizationArgs(num_bits=4, strategy="group", group_size=64, symmetric=True),
            QuantizationArgs(num_bits=4, strategy="group", group_size=32, symmetric=False),
            QuantizationArgs(num_bits=8, strategy="channel", symmetric=True),
        ],
        "int-quantized": [QuantizationArgs(num_bits=8, strategy="channel", symmetric=True)],
        "float-quantized": [QuantizationArgs(num_bits=8, type="float", strategy="channel", symmetric=True)],
    }
    for layout, found in cases.items():
        for number, args in enumerate(found):
            torch.manual_seed(number)
            weight = torch.randn(ROWS, COLUMNS)
            size = args.group_size or COLUMNS
            groups = weight.unflatten(1, (-1, size))
            scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
            scheme = QuantizationScheme(targets=["Linear"], weights=args)
            compressor = BaseCompressor.get_value_from_registry(layout)
            state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
            stored = compressor.compress(state, scheme)
            wanted = compressor.decompress(stored, scheme)["weight"]
            section = {
                "quant_method": "compressed-tensors",
                "format": layout,
                "config_groups": {"group_0": {"weights": json.loads(args.model_dump_json())}},
            }
            weights = directory({f"m.{name}": value for name, value in stored.items()}, section, folder)
            value = weights.value("m.weight", torch.float32)
            assert value is not None
            assert torch.allclose(value, wanted.float(), rtol=1e-6, atol=1e-7), (layout, number)
            assert (value - weight).abs().max() < 0.5


def check_bitsandbytes(folder: Path) -> None:
    """NF4 and LLM.int8() are read as bitsandbytes reads them."""
    from bitsandbytes import functional

    torch.manual_seed(0)
    weight = torch.randn(ROWS, COLUMNS)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    parts = {f"m.weight.{name}": value for name, value in state.as_dict(packed=True).items()}
    section = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    value = directory({"m.weight": packed, **parts}, section, folder / "nf4").value("m.weight", torch.float32)
    assert value is not None
    assert torch.equal(value, functional.dequantize_4bit(packed, state).float())

    whole, scales, _ = functional.int8_vectorwise_quant(weight)
    section = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    weights = directory({"m.weight": whole, "m.SCB": scales}, section, folder / "int8")
    value = weights.value("m.weight", torch.float32)
    assert value is not None
    assert torch.allclose(value, functional.int8_vectorwise_dequant(whole, scales).float(), rtol=1e-6)
    rounding = weights.rounding()
    assert rounding is not None
    inputs = torch.randn(4, COLUMNS)
    inputs[1, 7] = 50.0
    kept = rounding(inputs)
    assert torch.equal(kept[:, 7], inputs[:, 7]), "columns with an outlier stay"
    assert 0 < (kept - inputs).abs().max() < 0.05


def check_fp8(folder: Path) -> None:
    """Blocks that do not fill the matrix, and tensors with one scale; inputs by token."""
    torch.manual_seed(0)
    stored = torch.randn(200, COLUMNS).to(torch.float8_e4m3fn)
    scale = torch.rand(2, 2) + 0.5
    section = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    weights = directory({"m.weight": stored, "m.weight_scale_inv": scale}, section, folder)
    value = weights.value("m.weight", torch.float64)
    assert value is not None
    for row, column in ((0, 0), (127, 128), (128, 127), (199, 255)):
        wanted = stored[row, column].float() * scale[row // 128, column // 128]
        assert value[row, column] == wanted, (row, column)
    inputs = torch.randn(3, COLUMNS)
    rounding = weights.rounding()
    assert rounding is not None
    assert 0 < ((rounding(inputs) - inputs) / inputs).abs().max() < 0.07, "three bits after the point"


def check_skeleton(folder: Path) -> None:
    """Layer by layer gives the logits that the whole model gives; a model loses nothing against itself."""
    from selfhost_loss_layers import Skeleton
    from transformers import AutoModelForCausalLM

    weights = loss_weights.Weights(folder)
    skeleton = Skeleton(folder, "cpu")
    (block, *_) = loss.blocks_of(folder, loss.held_out_passages())
    sums = []
    with torch.inference_mode():
        loss.enter(skeleton, [block], weights, weights)
        errors = [loss.layer_error(skeleton, n, [block], weights, weights) for n in range(len(skeleton.layers))]
        outer = skeleton.outer_weights(weights)
        found = skeleton.leave(outer, block.ids, block.source)
        sums.append(loss.leave(skeleton, [block], weights, weights)[""].as_dict())
        whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        wanted = whole(block.ids).logits[0]
    assert errors == [0.0] * len(errors)
    assert sums[0]["mean_kl"] == 0
    assert sums[0]["top1_agreement"] == 1
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def check_outliers(folder: Path) -> None:
    """Make the same model with a few large channels after each norm, as real models have them; no check."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    torch.manual_seed(1)
    feeds = {
        "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    }
    for name in [name for name in tensors if name.removesuffix(".weight").endswith(tuple(feeds))]:
        before, _, norm = name.removesuffix(".weight").rpartition(".")
        large = torch.ones(len(tensors[name]))
        large[torch.randperm(len(large))[:12]] = 2.0 ** torch.randint(3, 7, (12,))
        tensors[name] = (tensors[name].float() * large).bfloat16()
        for reader in feeds[norm]:
            weight = f"{before}.{reader}.weight"
            tensors[weight] = (tensors[weight].float() / large).bfloat16()
    save_file(tensors, path, metadata={"format": "pt"})


def serve() -> None:
    """Fork a child for each line, which runs the script as Python would have started it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print when they are imported is no answer
    import bitsandbytes  # noqa: F401
    import llmcompressor  # noqa: F401
    from compressed_tensors.compressors import BaseCompressor  # noqa: F401
    from llmcompressor.modifiers.gptq import GPTQModifier  # noqa: F401
    from llmcompressor.modifiers.transform.awq import AWQModifier  # noqa: F401
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier  # noqa: F401
    from llmcompressor.utils.dev import load_context  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            for descriptor, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(wanted[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
            os._exit(status(wanted["argv"]))
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()


def status(argv: list[str]) -> int:
    sys.argv = argv
    sys.path.insert(0, str(Path(argv[0]).parent))
    code: object = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - a fork may not go on in the loop of its parent
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code) if isinstance(code, int) else 1


if __name__ == "__main__":
    if sys.argv[1] == "fork":
        serve()
    else:
        globals()[f"check_{sys.argv[1]}"](Path(sys.argv[2]))

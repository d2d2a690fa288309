"""Makes small checkpoints, and compares what became of them with results that were reached in another way.

    QUANTIZE_PYTHON tests/inside/quantize_there.py CHECK FOLDER

Runs in the `quantize` environment: it has torch, bitsandbytes, compressed-tensors and llm-compressor.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))

import selfhost_quantize_bf16 as bf16
import selfhost_quantize_shards as shards
import selfhost_quantize_stream as stream

HIDDEN, WIDTH = 256, 384
FP8 = torch.float8_e4m3fn
PARTS = {
    "self_attn.q_proj": (256, HIDDEN),
    "self_attn.k_proj": (128, HIDDEN),
    "self_attn.v_proj": (128, HIDDEN),
    "self_attn.o_proj": (HIDDEN, 256),
    "mlp.gate_proj": (WIDTH, HIDDEN),
    "mlp.up_proj": (WIDTH, HIDDEN),
    "mlp.down_proj": (HIDDEN, WIDTH),
}


def save(folder: Path, files: list[dict[str, torch.Tensor]], **config: object) -> Path:
    """A checkpoint of these files, with an index, a config and something that is no weight."""
    folder.mkdir(parents=True)
    weight_map = {}
    for number, tensors in enumerate(files, 1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", **config}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def plain(folder: Path, layers: int = 2, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Of plain weights, a layer in a file, with a router, a row of zeros, and an outlier."""
    torch.manual_seed(0)
    files = []
    for layer in range(layers):
        tensors = {f"model.layers.{layer}.{name}.weight": torch.randn(shape) * 0.02 for name, shape in PARTS.items()}
        tensors[f"model.layers.{layer}.mlp.gate.weight"] = torch.randn(8, HIDDEN)
        tensors[f"model.layers.{layer}.input_layernorm.weight"] = torch.ones(HIDDEN)
        tensors[f"model.layers.{layer}.self_attn.q_proj.bias"] = torch.randn(256)
        tensors[f"model.layers.{layer}.mlp.up_proj.weight"][3] = 0
        tensors[f"model.layers.{layer}.mlp.up_proj.weight"][5, 7] = 30.0
        files.append({name: tensor.to(dtype) for name, tensor in tensors.items()})
    files[0]["model.embed_tokens.weight"] = torch.randn(100, HIDDEN).to(dtype)
    files[-1]["lm_head.weight"] = torch.randn(100, HIDDEN).to(dtype)
    return save(folder, files)


def convert(source: Path, scheme: str, **more: object) -> dict[str, torch.Tensor]:
    """All tensors of the result; rows go through in stretches of a few."""
    shards.STRETCH = 4 * HIDDEN
    target = source.with_name(scheme)
    raw = {"schema_version": 1, "scheme": scheme, "source": str(source), "target": str(target), "jobs": 3, **more}
    stream.run(stream.Job(raw))
    return load(target)


def load(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


def converted(source: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights that every scheme takes, by module."""
    names = {f"model.layers.{layer}.{part}" for layer in range(2) for part in PARTS}
    return {name: source[f"{name}.weight"] for name in sorted(names)}


def untouched(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    """What no scheme takes is the same, bit by bit."""
    modules = converted(before)
    others = {
        name: tensor for name, tensor in before.items() if not name.endswith(".weight") or name[:-7] not in modules
    }
    assert len(others) == len(before) - len(modules)
    assert {"lm_head.weight", "model.embed_tokens.weight", "model.layers.1.mlp.gate.weight"} <= set(others)
    for name, tensor in others.items():
        assert torch.equal(tensor, after[name]), name
        assert tensor.dtype == after[name].dtype, name


def compressed_config(target: Path) -> None:
    """The library reads our section, and finds in it what its own presets say."""
    from compressed_tensors.quantization import QuantizationConfig

    section = json.loads((target / "config.json").read_text())["quantization_config"]
    QuantizationConfig.model_validate(section)


def llm_compressor(source: Path, preset: str) -> dict[str, torch.Tensor]:
    """What llm-compressor makes of the same checkpoint."""
    from llmcompressor.entrypoints.model_free import model_free_ptq

    theirs = source.with_name("theirs")
    ignore = ["lm_head", "re:.*embed_tokens", "re:.*mlp[.]gate$"]
    model_free_ptq(str(source), str(theirs), scheme=preset, ignore=ignore, device="cpu")
    return load(theirs)


def no_worse(before: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Mean error of weights that were quantized and are multiplied out again."""
    errors = [float((values.double() - before.double()).abs().mean()) for values in (ours, theirs)]
    assert errors[0] <= errors[1] * 1.001, errors


def check_fp8(folder: Path) -> None:
    source = plain(folder / "source")
    before, after = load(source), convert(source, "fp8")
    theirs = llm_compressor(source, "FP8_DYNAMIC")
    untouched(before, after)
    compressed_config(folder / "fp8")
    assert set(after) == set(theirs)
    for module, weight in converted(before).items():
        values, scale = after[f"{module}.weight"], after[f"{module}.weight_scale"]
        assert (values.dtype, scale.dtype, scale.shape) == (FP8, torch.float32, (weight.shape[0], 1))
        assert scale.shape == theirs[f"{module}.weight_scale"].shape
        wanted = weight.float().abs().amax(1, keepdim=True) / 448
        assert torch.equal(scale, torch.where(wanted == 0, 1.0, wanted))
        assert torch.equal(values.float(), (weight.float() / scale).to(FP8).float())
        back = theirs[f"{module}.weight"].float() * theirs[f"{module}.weight_scale"].float()
        no_worse(weight, values.float() * scale, back)


def check_fp8_block(folder: Path) -> None:
    source = plain(folder / "source")
    before, after = load(source), convert(source, "fp8-block")
    theirs = llm_compressor(source, "FP8_BLOCK")
    untouched(before, after)
    compressed_config(folder / "fp8-block")
    assert set(after) == set(theirs)
    for module, weight in converted(before).items():
        values, scale = after[f"{module}.weight"], after[f"{module}.weight_scale"]
        rows, columns = weight.shape
        assert (values.dtype, scale.dtype) == (FP8, torch.float32)
        assert scale.shape == theirs[f"{module}.weight_scale"].shape == (rows // 128, columns // 128)
        for row in range(0, rows, 128):
            for column in range(0, columns, 128):
                block = weight[row : row + 128, column : column + 128].float()
                one = scale[row // 128, column // 128]
                assert one == block.abs().max() / 448
                part = values[row : row + 128, column : column + 128]
                assert torch.equal(part.float(), (block / one).to(FP8).float())


def check_w8a16(folder: Path) -> None:
    from compressed_tensors.compressors.pack_quantized import unpack_from_int32

    source = plain(folder / "source")
    before, after = load(source), convert(source, "w8a16", group_size=64)
    theirs = llm_compressor(source, "W8A16")
    untouched(before, after)
    compressed_config(folder / "w8a16")
    assert set(after) == set(theirs)
    for module, weight in converted(before).items():
        packed, scale = after[f"{module}.weight_packed"], after[f"{module}.weight_scale"]
        assert packed.shape == theirs[f"{module}.weight_packed"].shape
        assert torch.equal(after[f"{module}.weight_shape"], theirs[f"{module}.weight_shape"])
        assert scale.dtype == torch.bfloat16
        values = unpack_from_int32(packed, 8, torch.Size(weight.shape))
        spread = scale.float().repeat_interleave(64, 1)
        wanted = (weight.float() / spread).round().clamp(-128, 127)
        assert torch.equal(values.float(), wanted)
        assert (weight.float() - values.float() * spread).abs().max() <= spread.max() * 0.51


def check_int8(folder: Path) -> None:
    from bitsandbytes.nn import Int8Params

    source = plain(folder / "source")
    before, after = load(source), convert(source, "int8")
    untouched(before, after)
    for module, weight in converted(before).items():
        wanted = Int8Params(weight.clone(), requires_grad=False)._quantize("cpu")
        assert torch.equal(after[f"{module}.weight"], wanted.CB)
        assert torch.equal(after[f"{module}.SCB"], wanted.SCB)
        assert after[f"{module}.weight_format"] == 0


def check_nf4(folder: Path) -> None:
    from bitsandbytes.functional import QuantState, dequantize_4bit
    from bitsandbytes.nn import Params4bit

    source = plain(folder / "source")
    before, after = load(source), convert(source, "nf4")
    untouched(before, after)
    for module, weight in converted(before).items():
        wanted = Params4bit(weight.clone(), quant_type="nf4")._quantize("cpu")
        name = f"{module}.weight"
        assert torch.equal(after[name], wanted.data)
        state = QuantState.from_dict({k: v for k, v in after.items() if k.startswith(f"{name}.")}, torch.device("cpu"))
        theirs = wanted.quant_state
        assert (state.shape, state.dtype, state.blocksize) == (theirs.shape, theirs.dtype, theirs.blocksize)
        assert torch.equal(state.offset, theirs.offset)
        for ours, other in ((state, theirs), (state.state2, theirs.state2)):
            assert torch.equal(ours.absmax, other.absmax)
            assert torch.equal(ours.code, other.code)
        assert torch.equal(dequantize_4bit(after[name], state), dequantize_4bit(wanted.data, theirs))


def to_bfloat16(exact: np.ndarray) -> np.ndarray:
    """float64 rounded once to the nearest bfloat16, ties to even, as float64; by arithmetic, without torch."""
    _, exponent = np.frexp(exact)
    # 8 significant bits, and none below 2^-133, the smallest subnormal.
    step = np.maximum(exponent - 8, -133)
    return np.ldexp(np.rint(np.ldexp(exact, -step)), step)


def hard_scales(count: int) -> torch.Tensor:
    """Scales some of whose products lie so near to a half of bfloat16 that float32 takes them for one."""
    found = []
    for significand in (9, 11, 13, 15):
        for low in range(129, 256, 2):
            half = (2 * low + 1) * 2.0**-9
            scale = np.float32(half / significand)
            exact = float(scale) * significand
            if np.float32(exact) == np.float32(half) and exact != half:
                found.append(float(scale))
    assert len(found) > 50
    return torch.tensor((found * count)[:count])


def check_bf16(folder: Path) -> None:
    torch.manual_seed(0)
    shapes = {f"model.layers.0.{name}.weight": shape for name, shape in PARTS.items()}
    shapes["model.layers.0.self_attn.kv_a_proj_with_mqa.weight"] = (320, HIDDEN)
    weights = {name: (torch.randn(shape) * 60).to(FP8) for name, shape in shapes.items()}
    scales, spread = {}, {}
    for number, (name, (rows, columns)) in enumerate(shapes.items()):
        grid = (-(-rows // 128), -(-columns // 128))
        scale = hard_scales(grid[0] * grid[1]).reshape(grid) if number % 2 else torch.rand(grid) * 2.0 ** -(40 * number)
        scales[f"{name}_scale_inv"] = scale
        spread[name] = scale.repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]
    # Weights of the engine's other formats: a scale for each row, and one for all.
    for name, scale in (("a", hard_scales(48).reshape(48, 1)), ("b", torch.tensor(0.37))):
        weights[f"{name}.weight"] = (torch.randn(48, 64) * 60).to(FP8)
        scales[f"{name}.weight_scale"] = scale
        spread[f"{name}.weight"] = scale.expand(48, 64)
    plain_ones = {"model.norm.weight": torch.ones(HIDDEN).bfloat16(), "a.input_scale": torch.tensor(1.0)}
    said = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    source = save(folder / "source", [weights, {**scales, **plain_ones}], quantization_config=said)
    after = convert(source, "bf16")
    assert set(after) == {*weights, "model.norm.weight"}
    twice = 0
    for name, weight in weights.items():
        exact = weight.double().numpy() * spread[name].double().numpy()
        wanted = torch.from_numpy(to_bfloat16(exact))
        assert after[name].dtype == torch.bfloat16
        assert torch.equal(after[name].double(), wanted), name
        twice += int(((weight.float() * spread[name].float()).bfloat16().double() != wanted).sum())
    assert twice > 100, "nothing here tells rounding once from rounding twice"
    assert "quantization_config" not in json.loads((folder / "bf16" / "config.json").read_text())
    assert not bf16.rounds_twice(torch.tensor([0.5, 2.0**-20])), "powers of two take the fast way"


def into_fp8(folder: Path) -> None:
    """Make a plain model FP8 as DeepSeek's is, in blocks of 128 x 128, with all scales in a file of their own."""
    plain_file = folder / "model.safetensors"
    weights, scales = load_file(plain_file), {}
    for name, weight in weights.items():
        if weight.dim() == 2 and not any(part in name for part in ("embed_tokens", "lm_head", "mlp.gate.weight")):
            rows, columns = weight.shape
            whole = torch.nn.functional.pad(weight.float(), (0, -columns % 128, 0, -rows % 128))
            scale = whole.view(-(-rows // 128), 128, -1, 128).abs().amax((1, 3)) / 448
            spread = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
            weights[name] = (whole / spread)[:rows, :columns].to(FP8).contiguous()
            scales[f"{name}_scale_inv"] = scale
    plain_file.unlink()
    config = json.loads((folder / "config.json").read_text())
    said = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    parts = [(weights, "model-00001-of-00002.safetensors"), (scales, "model-00002-of-00002.safetensors")]
    for tensors, name in parts:
        save_file(tensors, folder / name, metadata={"format": "pt"})
    weight_map = {key: name for tensors, name in parts for key in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": said}))


def check_read_back(folder: Path) -> None:
    """A scale that the disk spoils on the way is noticed, and the file does not get its name."""
    source = plain(folder / "source")
    write = shards.write_at

    def spoils(file: int, start: int, values: torch.Tensor) -> None:
        write(file, start, torch.full_like(values, torch.nan) if values.dtype == torch.float32 else values)

    shards.write_at = spoils
    said = None
    try:
        convert(source, "fp8")
    except shards.Refused as refused:
        said = refused
    assert said is not None
    assert said.id == "quantize.check_failed"
    assert "is not finite" in said.params["detail"]
    assert not list((folder / "fp8").glob("*.safetensors"))


CHECKS = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")}

if __name__ == "__main__":
    if sys.argv[1] == "make":
        plain(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "into-fp8":
        into_fp8(Path(sys.argv[2]))
    else:
        CHECKS[sys.argv[1].replace("-", "_")](Path(sys.argv[2]))

"""The oracle of encoder budgets: vLLM's own arithmetic of the largest items, without a processor and without images.

Runs with the engine's Python: `ENGINE_PYTHON tests/oracle/encoder_budgets.py` keeps what it finds in
`tests/data/oracle/encoder-budgets-vllm-0.32.0.json`. Real are `ProcessingInfo` of the model (how many tokens the
largest image and video have), `compute_mm_encoder_budget` and `MultiModalBudget._get_max_items`. Given is what the
checkpoint's processor would say: its largest areas. GLM-4.5V's own tokens come from a processed dummy, which takes
torchvision; here they are its sizes alone. Kimi's come from code of its checkpoint, so there is no case of it.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from meta_weights import DATA, as_text, without_images

CASES = [
    {"model": model, "length": length, "seqs": seqs, "step": step, "limits": limits, "pixels": pixels}
    for model, pixels in (
        ("Qwen/Qwen2.5-VL-7B-Instruct", [12_845_056, 12_845_056]),
        ("Qwen/Qwen2.5-VL-7B-Instruct", [1_003_520, 1_003_520]),
        ("Qwen/Qwen2.5-VL-7B-Instruct", [314_384, 314_384]),
        ("Qwen/Qwen2.5-Omni-7B", [12_845_056, 12_845_056]),
        ("Qwen/Qwen3-VL-8B-Instruct", [16_777_216, 25_165_824]),
        ("Qwen/Qwen3-VL-8B-Instruct", [2_000_000, 25_165_824]),
        ("Qwen/Qwen3.5-27B", [16_777_216, 25_165_824]),
        ("Qwen/Qwen3.5-27B", [16_777_216, 469_762_048]),
        ("zai-org/GLM-4.5V", [9_633_792, 47_040_000]),
        ("zai-org/GLM-4.5V", [2_000_000, 10_000_000]),
    )
    for length, seqs, step, limits in (
        (4096, 256, 2048, {}),
        (32_768, 256, 8192, {}),
        (131_072, 1024, 8192, {}),
        (65_536, 8, 32_768, {}),
        (65_536, 2, 65_536, {"video": 0}),
        (65_536, 64, 16_384, {"image": 0}),
        (8192, 1, 100_000, {"image": 2, "video": 0}),
    )
]


def info_of(case: dict[str, Any], config: dict[str, Any]) -> Any:
    """The model's own class, with what it would ask a processor and a context for."""
    from vllm.model_executor.models import glm4_1v, qwen2_5_omni_thinker, qwen2_5_vl, qwen3_vl

    section = config.get("thinker_config", config)["vision_config"]
    vision = SimpleNamespace(**{"temporal_patch_size": 2, "spatial_merge_size": 2, **section})
    image, video = case["pixels"]
    kind = {
        "Qwen2_5Omni": qwen2_5_omni_thinker.Qwen2_5OmniThinkerProcessingInfo,
        "Qwen2_5": qwen2_5_vl.Qwen2_5_VLProcessingInfo,
        "Glm4v": glm4_1v.Glm4vProcessingInfo,
    }
    architecture = config["architectures"][0]
    made = next((c for name, c in kind.items() if architecture.startswith(name)), qwen3_vl.Qwen3VLProcessingInfo)
    info: Any = made.__new__(made)
    info.get_hf_config = lambda: SimpleNamespace(vision_config=vision)
    info._merge_and_resolve_mm_processor_kwargs = lambda kwargs: {}
    edges = {"shortest_edge": 3136}
    # As Whisper's, in its `preprocessor_config.json`; the engine takes no more than 30 seconds.
    info.get_feature_extractor = lambda: SimpleNamespace(chunk_length=30, sampling_rate=16_000, hop_length=160)
    info.get_image_processor = lambda **_: SimpleNamespace(size={**edges, "longest_edge": image})
    if made is qwen3_vl.Qwen3VLProcessingInfo:
        processor = qwen3_vl.Qwen3VLVideoProcessor.__new__(qwen3_vl.Qwen3VLVideoProcessor)
        processor.size, processor.temporal_patch_size = {**edges, "longest_edge": video}, 2
        info.get_video_processor = lambda **_: processor
    if made is glm4_1v.Glm4vProcessingInfo:
        info._get_image_max_pixels, info._get_video_max_pixels = (lambda: image), (lambda: video)
    return info


def of_glm(info: Any, case: dict[str, Any]) -> dict[str, int]:
    """Its dummy items, as large as `Glm4vDummyInputsBuilder` makes them and as the processor leaves them."""
    width, height = info.get_image_size_with_most_features()
    frames = info.get_num_frames_with_most_features(case["length"], {"image": 1, "video": 1})
    _, video = info._get_vision_info(
        image_width=width, image_height=height, num_frames=frames, max_image_pixels=case["pixels"][1]
    )
    return {"image": info.get_max_image_tokens(), "video": video}


def result(case: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    from vllm.multimodal.encoder_budget import MultiModalBudget
    from vllm.v1.core.encoder_cache_manager import compute_mm_encoder_budget

    info = info_of(case, config)
    if "GLM" in case["model"]:
        largest = of_glm(info, case)
    else:
        asked = {"image": 1, "video": 1, **({"audio": 1} if "Omni" in case["model"] else {})}
        largest = dict(info.get_mm_max_tokens_per_item(case["length"], asked))
    limits = {kind: case["limits"].get(kind, 999) for kind in ("image", "video", "audio")}
    largest = {kind: tokens for kind, tokens in largest.items() if limits[kind]}
    scheduler: Any = SimpleNamespace(
        max_num_encoder_input_tokens=case["step"],
        encoder_cache_size=case["step"],
        max_num_batched_tokens=case["step"],
        disable_chunked_mm_input=False,
        enable_chunked_prefill=True,
    )
    budget: Any = MultiModalBudget.__new__(MultiModalBudget)
    budget.encoder_compute_budget, budget.encoder_cache_size = compute_mm_encoder_budget(scheduler, largest)
    budget.mm_limits, budget.max_model_len = limits, case["length"]
    budget.scheduler_config, budget.max_num_reqs, budget.mm_max_toks_per_item = scheduler, case["seqs"], largest
    kind = budget.get_modality_with_max_tokens()
    _, items = budget._get_max_items(kind, largest[kind])
    return {**case, "found": [budget.get_encoder_budget(), items, kind, largest[kind]]}


def main() -> None:
    without_images()
    models: dict[str, Any] = {}
    for file in (DATA / "configs").glob("*.json"):
        models |= json.loads(file.read_text())
    found = {str(number): result(case, models[case["model"]]["config"]) for number, case in enumerate(CASES)}
    (DATA / "oracle" / "encoder-budgets-vllm-0.32.0.json").write_text(as_text(found))


if __name__ == "__main__":
    main()

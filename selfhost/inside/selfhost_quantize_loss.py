"""How much a variant lost against its source, measured on text that no calibration has seen. Runs over there.

    QUANTIZE_PYTHON selfhost_quantize_loss.py JOB.json

JOB: {"source": DIR, "target": DIR, "report": FILE, "device": "auto" | "cpu" | "cuda", "jobs": N or null}. Writes the
report, and tells of it in `done`. Both models read Chinese and English passages, layer by layer: memory holds one layer
of one of them. A layer's own error is what it changes when it is handed what the source's layer was handed, as a share
of what the source's layer adds.

Kullback-Leibler divergence is that of the variant's next-token distribution from the source's, in nats; perplexity is
of the next token of the text.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost_calibrate_run import Job, device_of, main, peak_rss_bytes
from selfhost_calibrate_text import Passage, digest, held_out_passages, tokens_of
from selfhost_quantize_events import Progress, Refused, tell
from selfhost_quantize_files import write_json
from selfhost_quantize_state import sha256_of

if TYPE_CHECKING:
    import torch
    from selfhost_loss_layers import Skeleton
    from selfhost_loss_weights import Weights

LENGTH = 256
"""Tokens of a block."""
LEAST = 16
"""A rest of a text that is shorter is left out."""
WORST = 5
MOST_NATS = 100.0
TOOLS = ("torch", "transformers", "compressed-tensors", "bitsandbytes")


class Sums:
    """What is added up over tokens."""

    def __init__(self) -> None:
        self.tokens = self.same = 0
        self.kl = self.kl_squares = self.source = self.variant = 0.0

    def add(self, source: torch.Tensor, variant: torch.Tensor, following: torch.Tensor) -> None:
        """Count a block: logits of both at each token, and the tokens that follow."""
        sure, guess = source.log_softmax(-1), variant.log_softmax(-1)
        divergence = (sure.exp() * (sure - guess)).sum(-1).double()
        self.tokens += len(following)
        self.same += int((source.argmax(-1) == variant.argmax(-1)).sum())
        self.kl += float(divergence.sum())
        self.kl_squares += float(divergence.square().sum())
        self.source -= float(sure.gather(-1, following[:, None]).double().sum())
        self.variant -= float(guess.gather(-1, following[:, None]).double().sum())

    def as_dict(self) -> dict[str, float | int]:
        """The means."""
        mean = self.kl / self.tokens
        spread = max(0.0, self.kl_squares / self.tokens - mean * mean)
        return {
            "tokens": self.tokens,
            "mean_kl": round(max(0.0, mean), 6),
            "mean_kl_error": round(math.sqrt(spread / self.tokens), 6),
            "top1_agreement": round(self.same / self.tokens, 4),
            "perplexity_source": perplexity(self.source / self.tokens),
            "perplexity_variant": perplexity(self.variant / self.tokens),
        }


def perplexity(nats: float) -> float:
    """Of a mean surprise; bounded, for a model that knows nothing is infinitely surprised."""
    return round(math.exp(min(nats, MOST_NATS)), 3)


class Block:
    """Some tokens of a text, and how far both models have come with them."""

    def __init__(self, language: str, ids: torch.Tensor) -> None:
        self.language, self.ids = language, ids
        self.handed: list[Any] = []
        self.source: Any = None
        self.variant: Any = None


def measure(job: Job) -> None:
    """Compare, and write the report."""
    import torch
    from selfhost_loss_layers import Skeleton
    from selfhost_loss_weights import Weights

    began = time.monotonic()
    source, variant = Weights(Path(job["source"])), Weights(Path(job["target"]))
    device = device_of(job)
    skeleton = Skeleton(Path(job["source"]), device)
    passages = held_out_passages()
    blocks = blocks_of(Path(job["source"]), passages)
    tell("plan", files=1, bytes=len(skeleton.layers), device=device)
    with torch.inference_mode():
        enter(skeleton, blocks, source, variant)
        errors = [layer_error(skeleton, number, blocks, source, variant) for number in progressing(skeleton)]
        sums = leave(skeleton, blocks, source, variant)
    if not math.isfinite(sums[""].kl):
        detail = "what one of them makes of a text is no number"
        raise Refused("quantize.bad_result", path=job["target"], detail=detail)
    worst = sorted(range(len(errors)), key=lambda number: -errors[number])[:WORST]
    report = {
        "schema_version": 1,
        **sums.pop("").as_dict(),
        "languages": {language: found.as_dict() for language, found in sorted(sums.items())},
        "worst_layers": [{"layer": number, "error": errors[number]} for number in worst],
        "layer_errors": errors,
        "text_sha256": digest(passages),
        "dtype": str(skeleton.dtype).removeprefix("torch."),
        "device": device,
        "versions": {name: version(name) for name in TOOLS},
        "seconds": round(time.monotonic() - began, 1),
        "peak_rss_bytes": peak_rss_bytes(),
    }
    path = Path(job["report"])
    write_json(path, report)
    files = [{"path": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}]
    tell("done", files=files, peak_rss_bytes=report["peak_rss_bytes"])


def blocks_of(source: Path, passages: list[Passage]) -> list[Block]:
    """The held-out text, each language by itself."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    tokens: dict[str, list[int]] = defaultdict(list)
    for passage in passages:
        tokens[passage.language] += tokens_of(tokenizer, passage)
    found = []
    for language, ids in sorted(tokens.items()):
        cut = [ids[start : start + LENGTH] for start in range(0, len(ids), LENGTH)]
        found += [Block(language, torch.tensor([part])) for part in cut if len(part) >= LEAST]
    return found


def progressing(skeleton: Skeleton) -> Any:
    """Numbers of layers, telling of each that is done."""
    progress = Progress()
    for number in range(len(skeleton.layers)):
        yield number
        progress.add(1, f"layer {number}")


def enter(skeleton: Skeleton, blocks: list[Block], source: Weights, variant: Weights) -> None:
    """Embed the blocks."""
    for weights, side in ((source, "source"), (variant, "variant")):
        outer = skeleton.outer_weights(weights)
        for block in blocks:
            hidden, block.handed = skeleton.enter(outer, block.ids)
            setattr(block, side, hidden.to(skeleton.dtype))
        del outer  # or it is in memory twice while the other's is read


def layer_error(skeleton: Skeleton, number: int, blocks: list[Block], source: Weights, variant: Weights) -> float:
    """Take both models through a layer; the error of the variant's layer by itself."""
    before = [block.source for block in blocks]
    lent = skeleton.layer_weights(number, source)
    for block in blocks:
        block.source = skeleton.run(number, lent, block.source, block.handed[number])
    del lent
    lent = skeleton.layer_weights(number, variant)
    off = added = 0.0
    with skeleton.rounding(number, variant):
        for block, was in zip(blocks, before, strict=True):
            alone = skeleton.run(number, lent, was, block.handed[number])
            off += float((alone - block.source).double().square().sum())
            added += float((block.source - was).double().square().sum())
            block.variant = skeleton.run(number, lent, block.variant, block.handed[number])
            block.handed[number] = None
    return round(math.sqrt(off / added), 5) if added else 0.0


def leave(skeleton: Skeleton, blocks: list[Block], source: Weights, variant: Weights) -> dict[str, Sums]:
    """Logits of both, compared; by language, and of all under an empty name."""
    outer = skeleton.outer_weights(source)
    outer_variant = skeleton.outer_weights(variant, like=outer)
    sums: dict[str, Sums] = defaultdict(Sums)
    for block in blocks:
        logits = skeleton.leave(outer, block.ids, block.source)[:-1]
        others = skeleton.leave(outer_variant, block.ids, block.variant)[:-1]
        following = block.ids[0, 1:].to(logits.device)
        for name in ("", block.language):
            sums[name].add(logits, others, following)
    return sums


if __name__ == "__main__":
    sys.exit(main(measure))

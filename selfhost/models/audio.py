"""Audio towers: what hears the sounds that are sent to a model, beside its vision tower and its decoder.

That of Qwen2.5-Omni is transformers' own class: every rank and every pipeline stage holds it whole, whatever
`--mm-encoder-tp-mode` says, and no checkpoint quantizes it. The engine leaves it out with `--language-model-only`, and
with `--limit-mm-per-prompt '{"audio": 0}'`. Sources: vLLM 0.32 models/qwen2_5_omni_thinker.py, transformers 5.19
models/qwen2_5_omni/modeling_qwen2_5_omni.py.

The profiling run encodes the largest kind of item, which a sound of 30 seconds (750 tokens) never is beside an image.
Not covered: what it holds where images and videos are both limited to 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.models.parts import FLOAT32, Cut, Linear, Vector
from selfhost.models.reader import Reader
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.families import Family
    from selfhost.models.parts import Part

_KERNEL = 3
_MARKS = 2
"""Learned embeddings of where a sound begins and ends."""
_MOST_LAYERS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioTower:
    """A transformer over frames of a spectrogram; names as in `audio_config`."""

    encoder_layers: int
    d_model: int
    encoder_ffn_dim: int
    num_mel_bins: int
    max_source_positions: int
    output_dim: int

    def parts(self) -> list[tuple[int, Part]]:
        """Everything it holds, and how many of each."""
        width, out = self.d_model, self.output_dim
        layer = [
            *(_linear(f"layers.self_attn.{x}_proj", width, width, bias=x != "k") for x in ("k", "v", "q", "out")),
            *_norm("layers.self_attn_layer_norm", width),
            _linear("layers.fc1", self.encoder_ffn_dim, width),
            _linear("layers.fc2", width, self.encoder_ffn_dim),
            *_norm("layers.final_layer_norm", width),
        ]
        once = [
            _linear("conv1", width, self.num_mel_bins * _KERNEL),
            _linear("conv2", width, width * _KERNEL),
            # Sines, computed in float32; no checkpoint has them.
            Vector(
                name="audio_tower.positional_embedding",
                size=self.max_source_positions * width,
                itemsize=FLOAT32,
                stored_itemsize=0,
                trained=False,
            ),
            _linear("audio_bos_eos_token", _MARKS, out, bias=False),
            *_norm("ln_post", width),
            _linear("proj", out, width),
        ]
        return [(self.encoder_layers, part) for part in layer] + [(1, part) for part in once]


def _linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> Part:
    full = f"audio_tower.{name}"
    return Linear(name=full, outputs=(outputs,), inputs=inputs, cut=Cut.WHOLE, bias=bias, quantizable=False)


def _norm(name: str, size: int) -> list[Part]:
    return [Vector(name=f"audio_tower.{name}.{part}", size=size) for part in ("weight", "bias")]


def read_audio(reader: Reader, family: Family) -> AudioTower | None:
    """From the `audio_config` of a config; None when the class hears nothing.

    Check: Qwen2.5-Omni-7B -> 32 layers of 1280.
    """
    if not family.hears:
        return None
    audio = Reader(reader.section("audio_config"), reader.problems, prefix="audio_config.")
    layers = audio.integer("encoder_layers")
    audio.check("encoder_layers", layers, f"at most {_MOST_LAYERS}", good=layers <= _MOST_LAYERS)
    return AudioTower(
        encoder_layers=min(layers, _MOST_LAYERS),
        d_model=audio.integer("d_model"),
        encoder_ffn_dim=audio.integer("encoder_ffn_dim"),
        num_mel_bins=audio.integer("num_mel_bins"),
        max_source_positions=audio.integer("max_source_positions"),
        output_dim=audio.integer("output_dim"),
    )

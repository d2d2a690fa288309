"""Messages about what a variant lost against its source."""

from selfhost.messages import Text

MESSAGES = {
    "loss.unreadable": Text(
        "`{path}` is no report of a loss",
        "{detail}",
        "it is written anew when the variant is: remove the variant, and run `selfhost quantize` again",
    ),
    "loss.summary": Text(
        "against its source: KL divergence {kl:.4f} ± {error:.4f}, same first choice {top1:.1f} %, "
        "perplexity {before:.2f} -> {after:.2f} ({tokens} tokens)"
    ),
    "loss.of_language": Text(
        "{language}: KL divergence {kl:.4f} ± {error:.4f}, same first choice {top1:.1f} %, "
        "perplexity {before:.2f} -> {after:.2f}"
    ),
    "loss.english": Text("English"),
    "loss.chinese": Text("Chinese"),
    "loss.worst_layers": Text("layers that are off most, by what they add: {layers}"),
}

"""Messages about smoke runs: a small stand-in for a model is started to prove a machine."""

from selfhost.messages import Text

MESSAGES = {
    "smoke.reduction": Text("{name} {before} -> {after}"),
    "smoke.reduced": Text("made small: {what}"),
    "smoke.does_not_fit": Text("`{name}` itself is not served on {hardware} ({verdict}); the small one shows the rest"),
    "smoke.ranks": Text("{count} on {hardware}: TP={tp} PP={pp} DP={dp}{ep}"),
    "smoke.weights": Text("random, {dtype}"),
    "smoke.answered": Text("{answer} tokens after a prompt of {prompt}"),
    "smoke.passed": Text("passed in {duration}: `{name}` can be started here as far as this machine is concerned"),
    "smoke.failed": Text("failed after {duration}"),
    "smoke.unsupported": Text(
        "`{architecture}` cannot be made small",
        "which of its layers see images, and which read text alone, is not known here",
        "see whether the model itself fits: `selfhost plan MODEL`",
    ),
    "smoke.not_here": Text(
        "not even a small `{name}` can be served on {hardware}",
        "{reasons}",
        "change what the reasons name",
    ),
    "smoke.no_answer": Text(
        "`{name}` became ready and did not answer a long prompt",
        "{detail}",
        "read the log: `selfhost logs {name}`",
    ),
}

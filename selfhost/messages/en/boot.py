"""Messages about boot records."""

from selfhost.messages import Text

MESSAGES = {
    "boot.damaged": Text("boot record {path} is damaged ({detail}) and not used; it can be removed"),
    "boot.unreadable": Text("boot record {path} cannot be read ({detail}) and is not used"),
    "boot.newer": Text(
        "boot record {path} was written by a newer selfhost (schema {found}, this one knows {known}) and is not used"
    ),
    "boot.ready": Text("predicted against actual: {figures}"),
    "boot.weights": Text("weights {predicted} / {actual} GiB"),
    "boot.kv": Text("KV cache {predicted} / {actual} GiB"),
    "boot.tokens": Text("tokens {predicted:,} / {actual:,}"),
    "boot.time": Text("ready after {actual}"),
    "boot.kept": Text("boot record: {path}"),
    "boot.not_kept": Text("boot record: could not be kept under {path}; later plans do not know of this start"),
}

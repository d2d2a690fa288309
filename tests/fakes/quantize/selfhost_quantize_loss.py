"""Stands in for the script that compares a result with its source."""

import json
import sys
from pathlib import Path

from selfhost_quantize_stream import FAULTS, tell

job = json.loads(Path(sys.argv[1]).read_text())
if "loss_crash" in FAULTS:
    raise SystemExit(FAULTS["loss_crash"])
report = {
    "schema_version": 1,
    "tokens": 100,
    "mean_kl": FAULTS.get("kl", 0.0123),
    "mean_kl_error": 0.001,
    "top1_agreement": 0.98,
    "perplexity_source": 10.0,
    "perplexity_variant": 10.2,
}
Path(job["report"]).write_text(json.dumps(report))
tell("done", files=[], peak_rss_bytes=1)

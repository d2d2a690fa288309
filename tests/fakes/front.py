"""`serve` in the foreground, from a claimed record on: `python front.py NAME ORDERS`; says `ready` when it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from selfhost.app import start
from selfhost.app.orders import Orders
from selfhost.home import find_home
from selfhost.serve import records

home = find_home()
number = start.run_foreground(
    home,
    records.read(home, sys.argv[1]),
    Orders.from_dict(json.loads(Path(sys.argv[2]).read_text())),
    start.StartReport(lambda _step, _line: None),
    lambda _record: print("ready", flush=True),
)
sys.exit(128 + number if number else 1)

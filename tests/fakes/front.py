"""`serve` from a claimed record on, as a process that can be killed: `python front.py NAME ORDERS [--detach]`.

In the foreground it says `ready` when the server is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from selfhost.app import start
from selfhost.app.orders import Orders
from selfhost.home import find_home
from selfhost.serve import records

home = find_home()
record = records.read(home, sys.argv[1])
orders = Orders.from_dict(json.loads(Path(sys.argv[2]).read_text()))
report = start.StartReport(lambda _step, _line: None)
if "--detach" in sys.argv:
    start.run_detached(home, record, orders, report)
    sys.exit(0)
number = start.run_foreground(home, record, orders, report, lambda _record: print("ready", flush=True))
sys.exit(128 + number if number else 1)

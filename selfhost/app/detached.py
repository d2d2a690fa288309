"""`python -m selfhost.app.detached NAME`: the process that supervises a server which `serve -d` claimed.

No command of its own: users never run it, and it starts without the command line's imports.
"""

from __future__ import annotations

import sys

from selfhost.app.start import run_supervisor
from selfhost.home import find_home

if __name__ == "__main__":
    sys.exit(run_supervisor(find_home(), sys.argv[1]))

"""`python -m selfhost`, and the `selfhost` command."""

import gc

# Importing makes many objects that stay until the end; looking through them again and again is 5 % of a short command.
gc.set_threshold(200_000)

from selfhost.cli.main import main  # noqa: E402

if __name__ == "__main__":
    main()

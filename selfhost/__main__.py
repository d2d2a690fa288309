"""`python -m selfhost`, and the `selfhost` command."""

from selfhost.cli.main import main

if __name__ == "__main__":
    main()

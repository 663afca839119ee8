"""`python -m bas_tui` is `bas`."""

from bas_tui.cli.main import main

main()

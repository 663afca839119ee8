"""`python -m bas_tui` is `bas`."""

from bas_tui.start import main

main()

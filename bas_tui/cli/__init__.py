"""The command line: a thin layer of Typer over `bas_tui.client`."""

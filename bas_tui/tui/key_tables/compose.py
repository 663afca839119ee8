"""Keys of the Compose screen."""

from bas_tui.tui.key_tables import Key

KEYS: tuple[Key, ...] = ()

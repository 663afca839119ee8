"""Themes: dark (the default), light and high contrast; colours in style sheets come from here."""

from textual.theme import Theme

DARK = Theme(
    name="bas-dark",
    primary="#56b4e9", secondary="#7f93a8", accent="#e69f00", success="#2fc08f",
    warning="#e69f00", error="#ff6f61", foreground="#dfe3e8", background="#0f1115",
    surface="#16181c", panel="#23272d", dark=True,
    variables={
        "border": "#3a424e", "border-blurred": "#2a3038", "faint": "#8a94a2",
        "block-cursor-background": "#24506b", "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold", "block-cursor-blurred-background": "#1d2a35",
        "input-selection-background": "#56b4e9 30%", "scrollbar": "#2a3038",
        "scrollbar-background": "#14171c", "link-style": "none",
    },
)  # fmt: skip

LIGHT = Theme(
    name="bas-light",
    primary="#0b5c8f", secondary="#51626f", accent="#9a5b00", success="#00694d",
    warning="#9a5b00", error="#b3261e", foreground="#1c2127", background="#fafaf7",
    surface="#f3f3ef", panel="#e4e5e0", dark=False,
    variables={
        "border": "#b4b8b4", "border-blurred": "#cfd2cd", "faint": "#5c6670",
        "block-cursor-background": "#0b5c8f", "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold", "block-cursor-blurred-background": "#d3e3ee",
        "input-selection-background": "#0b5c8f 25%", "scrollbar": "#c4c8c3",
        "scrollbar-background": "#eceee9", "link-style": "none",
    },
)  # fmt: skip

CONTRAST = Theme(
    name="bas-contrast",
    primary="#ffff00", secondary="#ffffff", accent="#00ffff", success="#00ff88",
    warning="#ffff00", error="#ff8080", foreground="#ffffff", background="#000000",
    surface="#000000", panel="#1c1c1c", dark=True,
    variables={
        "border": "#ffffff", "border-blurred": "#9a9a9a", "faint": "#d0d0d0",
        "block-cursor-background": "#ffff00", "block-cursor-foreground": "#000000",
        "block-cursor-text-style": "bold", "block-cursor-blurred-background": "#444400",
        "input-selection-background": "#00ffff 50%", "scrollbar": "#ffffff",
        "scrollbar-background": "#000000", "link-style": "none",
    },
)  # fmt: skip

THEMES = (DARK, LIGHT, CONTRAST)
TITLES = {"bas-dark": "dark", "bas-light": "light", "bas-contrast": "high contrast"}

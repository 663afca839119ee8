"""Keys that work on every screen."""

from bas_tui.tui.shell.key import Key

KEYS = (
    Key(
        id="app.help", keys="question_mark,f1", action="app.help", label="Help",
        help="Explain the focused part of the screen and list all keys.",
    ),
    Key(
        id="app.palette", keys="colon,ctrl+p", action="app.command_palette", label="Palette",
        help="Search every action by name.",
    ),
    Key(
        id="app.runs", keys="f2,R", action="app.go('runs')", label="Runs",
        help="Go to the library of runs.", command="bas runs",
    ),
    Key(
        id="app.scene", keys="f3,S", action="app.go('scene')", label="Scene",
        help="Go to the scene: the picture, its masks and the plan.",
        command="bas open {scene}",
    ),
    Key(
        id="app.train", keys="f4,T", action="app.go('train')", label="Train",
        help="Go to the training view of the current run.", command="bas watch {run}",
    ),
    Key(
        id="app.compose", keys="f5,C", action="app.go('compose')", label="Compose",
        help="Go to the prompt composer for the current run's concepts.",
        command='bas gen "a photo of {tokens}" --run {run}',
    ),
    Key(
        id="app.edit", keys="f6,E", action="app.go('edit')", label="Edit",
        help="Go to the editor: the current run's things drawn into regions of any photo.",
    ),
    Key(
        id="app.batch", keys="f7,F", action="app.go('batch')", label="Batch",
        help="Go to the batches: many scenes that are learned one after another.",
        command="bas batch {folder} --watch",
    ),
    Key(
        id="app.jump", keys="semicolon,ctrl+o", action="app.jump", label="Jump",
        help="Show a letter on everything that can have the focus; type it to go there.",
    ),
    Key(
        id="app.commands", keys="exclamation_mark", action="app.show_commands",
        label="As commands",
        help="Show the `bas` command that does the same as each action here, ready to copy.",
    ),
    Key(
        id="app.cancel", keys="ctrl+x", action="app.cancel", label="Cancel", show=True,
        priority=True,
        help="Cancel what is under way, such as a drawing - from anywhere, also while typing.",
    ),
    Key(
        id="app.theme", keys="at,f9", action="app.next_theme", label="Theme",
        help="Change to the next theme: dark, light, high contrast.",
    ),
    Key(
        id="app.low_bandwidth", keys="ampersand", action="app.toggle_low_bandwidth",
        label="Low bandwidth",
        help="Redraw half as often and with fewer colours, for slow links.",
    ),
    Key(
        id="app.ascii", keys="circumflex_accent", action="app.toggle_ascii", label="ASCII",
        help="Write ASCII characters only, for fonts without blocks and braille.",
    ),
    Key(
        id="app.blocks", keys="asterisk", action="app.next_blocks", label="Picture blocks",
        help="Make pictures of half-blocks, quadrants, sextants, real pixels (where the terminal "
        "has them), what fits best.",
    ),
    Key(
        id="app.reset", keys="0", action="app.reset_layout", label="Reset view",
        help="Set layout, filters, zoom and theme back to the defaults.",
    ),
    Key(
        id="app.redraw", keys="tilde,ctrl+l", action="app.redraw", label="Redraw",
        help="Draw the whole screen again, should another program have written over it.",
    ),
    Key(
        id="app.keymap", keys="ctrl+k,percent_sign", action="app.write_keymap",
        label="Keymap file",
        help="Write a keymap file with every action and its keys, to be edited.",
    ),
    Key(
        id="app.interrupted", keys="ctrl+c", action="app.interrupted", label="Ctrl-C",
        help="Say how to leave: ctrl+c itself ends nothing here.",
    ),
    Key(
        id="app.quit", keys="q,ctrl+q", action="app.leave", label="Quit",
        help="Close this window. Training goes on in its own process.",
    ),
)  # fmt: skip

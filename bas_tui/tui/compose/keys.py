"""Keys of the Compose screen: `compose` works where no text is typed, `gallery` on the pictures."""

from bas_tui.tui.shell.key import Key

GENERATE = "bas gen {prompt} --run {run}{options}"
PICTURE = "{picture_command}"

KEYS = (
    Key(
        id="compose.generate", keys="g,ctrl+g", action="generate", label="Draw", show=True,
        help="Draw the prompt (enter does it from the prompt line).", command=GENERATE,
    ),
    Key(
        id="compose.cancel", keys="x", action="app.cancel", label="Cancel", show=True,
        help="Stop drawing; finished pictures stay. The model stays loaded. ctrl+x does it "
        "from anywhere.",
    ),
    Key(
        id="compose.prompt", keys="p,i", action="focus_on('prompt')", label="Prompt", show=True,
        help="Write the prompt.",
    ),
    Key(
        id="compose.negative", keys="n", action="focus_on('negative')", label="Negative",
        help="Write what the pictures should keep away from.",
    ),
    Key(
        id="compose.settings", keys="e", action="focus_on('settings')", label="Settings",
        help="Go to seed, count, steps and guidance.",
    ),
    Key(
        id="compose.lock", keys="L", action="lock_seed", label="Lock seed",
        help="Draw with the last seed again, or with a new one each time.",
    ),
    Key(
        id="compose.dice", keys="d", action="new_seed", label="New seed",
        help="Take a new random seed and lock it.",
    ),
    Key(
        id="compose.run", keys="r", action="pick_run", label="Run", show=True,
        help="Choose the run whose tokens are used; pictures of the others stay to compare.",
    ),
    Key(
        id="compose.place", keys="P", action="place", label="Place", show=True,
        help="Begin with the scene's things where you want them, or with noise alone.",
        command=GENERATE,
    ),
    Key(
        id="compose.add", keys="A", action="add", label="Add",
        help="Draw with other people's LoRA and embedding files, or with another run's things, "
        "too; or take one out again.",
        command=GENERATE,
    ),
    Key(
        id="compose.copy", keys="y", action="copy", label="Copy command",
        help="Copy the `bas gen` command of the picture that is chosen, else of the prompt.",
        command=GENERATE,
    ),
    *(
        Key(
            id=f"compose.token{number}", keys=str(number), action=f"token({number - 1})",
            label=f"Token {number}", help=f"Put token {number} into the prompt.",
        )
        for number in range(1, 10)
    ),
    Key(
        id="places.next", keys="tab,full_stop", action="pick(1)", label="Next thing", show=True,
        help="Pick the next thing.",
    ),
    Key(
        id="places.previous", keys="shift+tab,comma", action="pick(-1)", label="Previous thing",
        help="Pick the thing before.",
    ),
    Key(
        id="places.left", keys="left,h", action="move(-2, 0)", label="Left",
        help="Move the picked thing left.",
    ),
    Key(
        id="places.right", keys="right,l", action="move(2, 0)", label="Right",
        help="Move it right.",
    ),
    Key(
        id="places.up", keys="up,k", action="move(0, -2)", label="Up",
        help="Move it up.",
    ),
    Key(
        id="places.down", keys="down,j", action="move(0, 2)", label="Down",
        help="Move it down.",
    ),
    Key(
        id="places.bigger", keys="plus,equals_sign", action="size(1)", label="Larger", show=True,
        help="Make it larger.",
    ),
    Key(
        id="places.smaller", keys="minus", action="size(-1)", label="Smaller", show=True,
        help="Make it smaller.",
    ),
    Key(
        id="places.out", keys="delete,D,backspace", action="leave_out", label="Leave out",
        show=True,
        help="Leave the picked thing out, or put it back.",
    ),
    Key(
        id="places.swap", keys="s", action="swap", label="Swap", show=True,
        help="Swap left and right.",
    ),
    Key(
        id="places.shuffle", keys="S", action="shuffle", label="Shuffle", show=True,
        help="Put the things side by side at places of chance.",
    ),
    Key(
        id="places.scene", keys="o", action="as_in_scene", label="As in scene", show=True,
        help="Put all things back as in the scene.",
    ),
    Key(
        id="places.undo", keys="u,ctrl+z", action="undo", label="Undo", show=True,
        help="Take the last change of the layout back; there is no limit.",
    ),
    Key(
        id="places.redo", keys="U,ctrl+r,ctrl+y", action="redo", label="Redo",
        help="Make the last undone change again.",
    ),
    Key(
        id="places.less", keys="less_than_sign", action="loosen(-1)", label="Keep more",
        help="Redraw the things less freely: they stay more surely.",
    ),
    Key(
        id="places.more", keys="greater_than_sign", action="loosen(1)", label="Keep less",
        help="Redraw the things more freely.",
    ),
    Key(
        id="places.leave", keys="escape", action="leave", label="Back",
        help="Back to the pictures.",
    ),
    Key(
        id="gallery.left", keys="left,h", action="move(-1, 0)", label="Left",
        help="The picture to the left.",
    ),
    Key(
        id="gallery.right", keys="right,l", action="move(1, 0)", label="Right",
        help="The picture to the right.",
    ),
    Key(id="gallery.up", keys="up,k", action="move(0, -1)", label="Up", help="One row up."),
    Key(id="gallery.down", keys="down,j", action="move(0, 1)", label="Down", help="One row down."),
    Key(
        id="gallery.first", keys="home,t", action="move_to(0)", label="Newest",
        help="The newest picture.",
    ),
    Key(
        id="gallery.last", keys="end,G", action="move_to(-1)", label="Oldest",
        help="The oldest picture.",
    ),
    Key(
        id="gallery.large", keys="enter,z", action="large", label="Large", show=True,
        help="Show the picture as large as the room allows, or all of them again.",
    ),
    Key(
        id="gallery.full", keys="v,f", action="full", label="Full screen", show=True,
        help="Show the picture on the whole terminal, from its file at full size.",
    ),
    Key(
        id="gallery.mark", keys="space,m", action="mark", label="Mark", show=True,
        help="Mark the picture for comparing, or unmark it.",
    ),
    Key(
        id="gallery.compare", keys="c", action="compare", label="Compare", show=True,
        help="Show the marked pictures side by side, or all pictures again.",
    ),
    Key(
        id="gallery.unmark", keys="M", action="unmark", label="Unmark all",
        help="Take all marks away.",
    ),
    Key(
        id="gallery.reuse", keys="u", action="screen.reuse", label="Reuse", show=True,
        help="Take over the picture's prompt, seed, steps and guidance (and its run).",
        command=PICTURE,
    ),
    Key(
        id="gallery.save", keys="w,s", action="screen.save_as", label="Save as",
        help="Copy the picture to a file of your choice.",
    ),
    Key(
        id="gallery.copy_prompt", keys="Y", action="screen.copy_prompt", label="Copy prompt",
        help="Copy the picture's prompt.",
    ),
    Key(
        id="gallery.delete", keys="D,delete", action="screen.delete_picture", label="Delete",
        help="Delete the picture's file; asks first.",
    ),
    Key(
        id="gallery.bigger", keys="plus,equals_sign", action="size(1)", label="Larger tiles",
        help="Fewer, larger pictures.",
    ),
    Key(
        id="gallery.smaller", keys="minus", action="size(-1)", label="Smaller tiles",
        help="More, smaller pictures.",
    ),
    Key(
        id="gallery.back", keys="escape", action="back", label="Back",
        help="From one picture or a comparison back to all.",
    ),
    Key(
        id="prompt.draw", keys="enter", action="submit", label="Draw", show=True,
        help="Take the offered token; where none is offered, draw the prompt.",
    ),
    Key(
        id="prompt.take", keys="tab", action="take", label="Complete", show=True,
        help="Take the offered token; where none is offered, go to the next part.",
    ),
    Key(
        id="prompt.earlier", keys="up", action="earlier", label="Earlier", show=True,
        help="This run's earlier prompt, or the token offered before.",
    ),
    Key(
        id="prompt.later", keys="down", action="later", label="Later",
        help="The later prompt, or the next offered token.",
    ),
    Key(
        id="prompt.leave", keys="escape", action="leave", label="Keys", show=True,
        help="Leave the line, so that letters are keys again; p comes back to it.",
    ),
    Key(
        id="settings.left", keys="left,h", action="field(-1)", label="Left",
        help="The setting to the left.",
    ),
    Key(
        id="settings.right", keys="right,l", action="field(1)", label="Right",
        help="The setting to the right.",
    ),
    Key(
        id="settings.more", keys="up,k,plus,equals_sign", action="change(1)", label="More",
        show=True, help="A higher value.",
    ),
    Key(
        id="settings.less", keys="down,j,minus", action="change(-1)", label="Less", show=True,
        help="A lower value.",
    ),
    Key(
        id="settings.type", keys="enter", action="edit", label="Type", show=True,
        help="Type the value; empty takes the run's own.",
    ),
    Key(
        id="settings.own", keys="backspace", action="reset", label="Run's own",
        help="Take the run's own value again (a random seed, for the seed).",
    ),
)  # fmt: skip

"""Keys of the Edit screen; its canvas, prompts and pictures have those of Scene and Compose."""

from bas_tui.tui.shell.key import Key

EDIT = "bas edit {photo} {prompts}{masks} --run {run}{options}"

KEYS = (
    Key(
        id="edit.draw", keys="ctrl+g,W", action="generate", label="Draw", show=True,
        help="Draw every region anew (enter does it from the prompt line).", command=EDIT,
    ),
    Key(
        id="edit.flip", keys="a", action="flip", label="Before/after", show=True,
        help="Show the chosen candidate in the photo's place, or the photo again; arrows among the "
        "candidates then change what is shown.",
    ),
    Key(
        id="edit.prompt", keys="w", action="write", label="Prompt", show=True,
        help="Write what is to be drawn in the current region.",
    ),
    Key(
        id="edit.new", keys="n", action="new_region", label="New region", show=True,
        help="Add a region with a prompt of its own; paint it on the photo.",
    ),
    Key(
        id="edit.delete", keys="D,delete", action="delete_region", label="Delete region",
        help="Delete the current region; undo brings it back.",
    ),
    Key(
        id="edit.next", keys="full_stop,N", action="cycle(1)", label="Next region",
        help="Make the next region the current one.",
    ),
    Key(
        id="edit.previous", keys="comma,P", action="cycle(-1)", label="Previous region",
        help="Make the previous region the current one.",
    ),
    Key(
        id="edit.undo", keys="u,ctrl+z", action="undo", label="Undo", show=True,
        help="Take the last step of painting back; there is no limit.",
    ),
    Key(
        id="edit.redo", keys="U,ctrl+r,ctrl+y", action="redo", label="Redo",
        help="Make the last undone step again.",
    ),
    Key(
        id="edit.another", keys="A", action="thing('another')", label="Another",
        help="Another candidate for the thing that is being found.",
    ),
    Key(
        id="edit.less", keys="less_than_sign", action="change('keep', -1)", label="Keep less",
        help="Keep less of what is there: 0 draws from noise alone.",
    ),
    Key(
        id="edit.more", keys="greater_than_sign", action="change('keep', 1)", label="Keep more",
        help="Keep more of what is there: 0.5 changes the thing that is there.",
    ),
    Key(
        id="edit.decoder", keys="Z", action="change('decoder', 1)", label="Decoder",
        help="Fit a copy of the decoder to the photo for longer, and off again: the region's edge "
        "is seen less, and the thing keeps its outline.",
    ),
    Key(
        id="edit.add", keys="I", action="add", label="Add",
        help="Draw with other people's LoRA and embedding files, or with another run's things, "
        "too; or take one out again.",
        command=EDIT,
    ),
    Key(
        id="edit.save", keys="s,ctrl+s", action="save_as", label="Save", show=True,
        help="Copy the chosen candidate to a file of your choice.",
    ),
    Key(
        id="edit.take", keys="t", action="take", label="Go on from it",
        help="Make the chosen candidate the photo, to draw further regions into it.",
    ),
    Key(
        id="edit.open", keys="O", action="open_photo", label="Open photo",
        help="Open a photo, of any size.",
    ),
    Key(
        id="edit.run", keys="r", action="pick_run", label="Run",
        help="Choose the run whose tokens are used.",
    ),
    Key(
        id="edit.pictures", keys="c", action="focus_on('gallery')", label="Candidates",
        help="Go to the candidates (where the canvas has the focus, c clears the region).",
    ),
    Key(
        id="edit.canvas", keys="p", action="focus_on('canvas')", label="Paint",
        help="Go to the photo.",
    ),
    Key(
        id="edit.full", keys="v", action="full", label="Full screen",
        help="Show the photo, or the candidate in its place, on the whole terminal.",
    ),
    Key(
        id="edit.overlay", keys="V", action="overlay", label="Overlay",
        help="Show regions as tint, as outlines, the current one cut out, or the photo alone.",
    ),
    Key(
        id="edit.copy", keys="y", action="copy", label="Copy command",
        help="Copy the `bas edit` command that does the same; among the candidates the one that "
        "draws the chosen candidate again.", command=EDIT,
    ),
    *(
        Key(
            id=f"edit.token{number}", keys=str(number), action=f"token({number - 1})",
            label=f"Token {number}", help=f"Put token {number} into the current region's prompt.",
        )
        for number in range(1, 10)
    ),
    Key(
        id="regions.down", keys="down,j", action="screen.cycle(1)", label="Next",
        help="Next region.",
    ),
    Key(
        id="regions.up", keys="up,k", action="screen.cycle(-1)", label="Previous",
        help="Previous region.",
    ),
    Key(
        id="regions.write", keys="enter", action="screen.write", label="Prompt", show=True,
        help="Write what is to be drawn there.",
    ),
)  # fmt: skip

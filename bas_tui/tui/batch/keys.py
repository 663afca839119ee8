"""Keys of the Batch screen."""

from bas_tui.tui.shell.key import Key

KEYS = (
    Key(
        id="batch.open", keys="enter,l", action="open", label="Open", show=True,
        help="Look at the run of the marked scene: losses, attention maps, previews.",
        command="bas watch {run}",
    ),
    Key(
        id="batch.compose", keys="c", action="compose", label="Compose", show=True,
        help="Write prompts over the things of the marked scene.",
        command='bas gen "a photo of <asset0>" --run {run}',
    ),
    Key(
        id="batch.go_on", keys="r", action="go_on", label="Go on", show=True,
        help="Start the batch again: it goes on with what is not finished.",
        command="bas batch {folder} --detach",
    ),
    Key(
        id="batch.stop", keys="x", action="stop", label="Stop", show=True,
        help="End the batch; its running scenes write a checkpoint first. Asks first.",
        command="bas batch {folder} --stop",
    ),
    Key(
        id="batch.report", keys="o", action="report", label="Report", show=True,
        help="Write the report sheet as it is now: photo, pictures and loss of every scene.",
    ),
    Key(
        id="batch.full", keys="v", action="full", label="Full picture",
        help="Show the newest pictures of the marked scene on the whole terminal.",
    ),
    Key(
        id="batch.next", keys="right_square_bracket", action="turn(1)", label="Next batch",
        help="Look at an older batch.",
    ),
    Key(
        id="batch.previous", keys="left_square_bracket", action="turn(-1)",
        label="Previous batch", help="Look at a newer batch.",
    ),
    Key(
        id="batch.copy", keys="y", action="copy", label="Copy name",
        help="Copy the name of the marked scene's run.",
    ),
    Key(id="batch.down", keys="j", action="move(1)", label="Down", help="Next scene."),
    Key(id="batch.up", keys="k", action="move(-1)", label="Up", help="Previous scene."),
)  # fmt: skip

"""Keys of the Runs screen."""

from bas_tui.tui.shell.key import Key

KEYS = (
    Key(
        id="runs.open", keys="enter,l", action="open", label="Open", show=True,
        help="Attach to the run: watch it live or look through its history.",
        command="bas attach {run}",
    ),
    Key(
        id="runs.watch", keys="w", action="watch", label="Watch",
        help="Open the run read-only: no key can change it.", command="bas watch {run}",
    ),
    Key(
        id="runs.compose", keys="c", action="compose", label="Compose", show=True,
        help="Write prompts over the run's concepts.",
        command='bas gen "a photo of {tokens}" --run {run}',
    ),
    Key(
        id="runs.export", keys="X", action="export", label="Export", show=True,
        help="Write the run's things for A1111, ComfyUI, diffusers, or to share.",
        command="bas export {run} --to comfyui",
    ),
    Key(
        id="runs.resume", keys="r", action="resume", label="Resume", show=True,
        help="Go on from the last checkpoint of a run that stopped or was interrupted.",
        command="bas resume {run}",
    ),
    Key(
        id="runs.stop", keys="x", action="stop", label="Stop", show=True,
        help="Stop a live run after its current step, with a checkpoint; asks first.",
        command="bas stop {run}",
    ),
    Key(
        id="runs.remove", keys="D,delete", action="remove", label="Remove", show=True,
        help="Delete the run's folder with everything in it; asks first.",
        command="bas rm {run} --yes",
    ),
    Key(
        id="runs.new", keys="n", action="new", label="New", show=True,
        help="Open the Scene screen for a new run.", command="bas open SCENE --masks MASKS",
    ),
    Key(
        id="runs.filter", keys="slash", action="filter", label="Filter", show=True,
        help="Show only runs whose name, concepts, base or state hold what you type.",
    ),
    Key(
        id="runs.sort", keys="s", action="sort", label="Sort",
        help="Sort by when, name, loss or progress.",
    ),
    Key(
        id="runs.mark", keys="space,m", action="mark", label="Mark",
        help="Mark the run for comparing, or unmark it.",
    ),
    Key(
        id="runs.overlay", keys="o", action="overlay", label="Compare", show=True,
        help="The marked runs over each other: losses, IoU, their pictures of the same words. "
        "With fewer than two marks the run of the cursor joins, or the one below it.",
    ),
    Key(
        id="runs.unmark", keys="M", action="unmark", label="Unmark all",
        help="Take all marks away.",
    ),
    Key(
        id="runs.full", keys="v", action="full", label="Full screen",
        help="Show the marked run's scene with its masks on the whole terminal.",
    ),
    Key(
        id="runs.copy", keys="y", action="copy", label="Copy name",
        help="Copy the run's name.",
    ),
    Key(
        id="runs.end_filter", keys="escape", action="end_filter", label="Clear filter",
        help="Clear the filter and go back to the list.",
    ),
    Key(id="runs.down", keys="j,down", action="down", label="Down", help="Next run."),
    Key(id="runs.up", keys="k,up", action="up", label="Up", help="Previous run."),
    Key(id="runs.top", keys="g", action="top", label="First", help="First run."),
    Key(id="runs.bottom", keys="G", action="bottom", label="Last", help="Last run."),
    Key(
        id="overlay.left", keys="left,h", action="other(-1)", label="Prompt", show=True,
        help="The prompt before.",
    ),
    Key(
        id="overlay.right", keys="right,l", action="other(1)", label="Next prompt",
        help="The next prompt that the runs have drawn.",
    ),
    Key(
        id="overlay.full", keys="v,f", action="full", label="Full screen", show=True,
        help="Show the pictures side by side on the whole terminal.",
    ),
    Key(
        id="overlay.log_axis", keys="y", action="toggle_log", label="Log axis", show=True,
        help="Change between a logarithmic and a linear loss axis.",
    ),
    Key(
        id="overlay.chart", keys="i", action="other_chart", label="Loss / IoU", show=True,
        help="In a narrow window: the other chart.",
    ),
    Key(
        id="overlay.copy", keys="Y", action="copy", label="Copy commands",
        help="Copy the commands that draw this prompt with the runs that have not.",
    ),
    Key(
        id="overlay.close", keys="escape,o,enter", action="close", label="Back", show=True,
        help="Back to the list of runs.",
    ),
)  # fmt: skip

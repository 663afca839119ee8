"""Keys of the Train screen."""

from bas_tui.tui.shell.key import Key

KEYS = (
    Key(
        id="train.pause", keys="space,p", action="pause", label="Pause", show=True,
        help="Pause the training after its current step, or let it go on.",
        command="bas pause {run}",
    ),
    Key(
        id="train.stop", keys="x", action="stop", label="Stop", show=True,
        help="Stop after the current step with a checkpoint; asks first.",
        command="bas stop {run}",
    ),
    Key(
        id="train.resume", keys="r", action="resume", label="Resume", show=True,
        help="Start a host again that goes on from the last checkpoint.",
        command="bas resume {run}",
    ),
    Key(
        id="train.compose", keys="enter", action="compose", label="Compose", show=True,
        help="Draw with what the finished run has learned.",
        command='bas gen "a photo of {tokens}" --run {run}',
    ),
    Key(
        id="train.export", keys="X", action="export", label="Export", show=True,
        help="Write the run's things for A1111, ComfyUI, diffusers, or to share.",
        command="bas export {run} --to comfyui",
    ),
    Key(
        id="train.result", keys="f", action="result", label="Result", show=True,
        help="Show what the finished run has learned: its last pictures and their numbers.",
        command="bas show {run}",
    ),
    Key(
        id="train.checkpoint", keys="c", action="checkpoint", label="Save", show=True,
        help="Write a checkpoint now.",
        command="bas checkpoint {run}",
    ),
    Key(
        id="train.preview", keys="v", action="preview", label="Preview", show=True,
        help="Draw a preview picture now (where the focus is on no picture).",
        command="bas preview {run}",
    ),
    Key(
        id="train.preview_more", keys="plus,equals_sign", action="cadence(1)",
        label="More previews",
        help="Draw preview pictures more often.",
        command="bas preview {run} --every 20",
    ),
    Key(
        id="train.preview_less", keys="minus", action="cadence(-1)",
        label="Fewer previews",
        help="Draw preview pictures less often.",
        command="bas preview {run} --every 200",
    ),
    Key(
        id="train.back", keys="left,h", action="scrub(-1)", label="History", show=True,
        help="Look at an earlier step: chart, maps and previews move together.",
    ),
    Key(
        id="train.forward", keys="right,l", action="scrub(1)", label="Forward",
        help="Look at a later step.",
    ),
    Key(
        id="train.page_back", keys="shift+left,H", action="scrub(-10)", label="Far back",
        help="Ten times as far back.",
    ),
    Key(
        id="train.page_forward", keys="shift+right,L", action="scrub(10)", label="Far forward",
        help="Ten times as far forward.",
    ),
    Key(
        id="train.first", keys="home,g", action="scrub_first", label="First step",
        help="Look at the first step.",
    ),
    Key(
        id="train.latest", keys="end,G,escape", action="scrub_latest", label="Latest",
        help="Follow the newest step again.",
    ),
    Key(
        id="train.log_axis", keys="y", action="toggle_log", label="Log axis",
        help="Change between a logarithmic and a linear loss axis.",
    ),
    Key(
        id="train.lower", keys="o", action="next_lower", label="Log", show=True,
        help="Below the chart: preview and log, the preview alone, the log alone.",
        command="bas show {run}",
    ),
    Key(
        id="train.zoom", keys="z", action="zoom", label="Zoom", show=True,
        help="Zoom the chart to phase 1, to phase 2, back to the whole run.",
    ),
    Key(
        id="train.part_loss", keys="1", action="part('loss')", label="Total loss",
        help="Show or hide the total loss.",
    ),
    Key(
        id="train.part_masked", keys="2", action="part('masked')", label="Masked loss",
        help="Show or hide the masked diffusion loss.",
    ),
    Key(
        id="train.part_attention", keys="3", action="part('attention')",
        label="Attention loss",
        help="Show or hide the cross-attention loss (before its weight).",
    ),
    Key(
        id="train.part_prior", keys="4", action="part('prior')", label="Prior loss",
        help="Show or hide the prior preservation loss (before its weight).",
    ),
    Key(
        id="train.raw", keys="d", action="toggle_raw", label="Raw dots",
        help="Show or hide the single steps behind the moving average.",
    ),
    Key(
        id="train.maximize", keys="m", action="maximize_part", label="Maximize", show=True,
        help="Give the whole screen to the chart, the maps or the preview, in turn.",
    ),
    Key(
        id="train.copy", keys="Y", action="copy", label="Copy name",
        help="Copy the run's name.",
    ),
    Key(
        id="preview.full", keys="v,f", action="full", label="Full screen", show=True,
        help="Show the pictures on the whole terminal.",
    ),
)  # fmt: skip

"""Keys of the Scene screen: `scene` works everywhere on it, `canvas` and the rest where named."""

from bas_tui.tui.shell.key import Key

KEYS = (
    Key(
        id="scene.open", keys="O", action="open_scene", label="Open",
        help="Open another picture, or a scene that came with bas.", command="bas open {scene}",
    ),
    Key(
        id="scene.train", keys="t", action="train", label="Train", show=True,
        help="Create the run and start training it in its own process.",
        command="bas train {scene} --masks {masks} --base {base}{settings}",
    ),
    Key(
        id="scene.save", keys="s,ctrl+s", action="save", label="Save", show=True,
        help="Save the masks as PNG files; asks for the folder first. The photo is never touched.",
    ),
    Key(
        id="scene.undo", keys="u,ctrl+z", action="undo", label="Undo", show=True,
        help="Take the last step back; there is no limit.",
    ),
    Key(
        id="scene.redo", keys="U,ctrl+r,ctrl+y", action="redo", label="Redo",
        help="Make the last undone step again.",
    ),
    Key(
        id="scene.new", keys="n", action="new_concept", label="New concept", show=True,
        help="Add a concept and name it.",
    ),
    Key(
        id="scene.rename", keys="r", action="rename", label="Rename",
        help="Rename the current concept; its name becomes its token, as in <red_cat>.",
    ),
    Key(
        id="scene.find_word", keys="w", action="find_word", label="Find by words",
        help="Find a thing by what it is called, where the segmenter reads words.",
        command="bas masks {scene} WORD --words-by FOLDER_OR_ID",
    ),
    Key(
        id="scene.another", keys="A", action="thing('another')", label="Next candidate",
        help="Show the next mask that may be meant.",
    ),
    Key(
        id="scene.word", keys="W", action="initializer", label="Start word",
        help="Set the word that the concept's token starts from, such as `cat`; empty: none.",
        command="bas train {scene} --masks {masks} --init {concept}={word}",
    ),
    Key(
        id="scene.delete", keys="D,delete", action="delete", label="Delete",
        help="Delete the current concept; undo brings it back.",
    ),
    Key(
        id="scene.earlier", keys="less_than_sign", action="move(-1)", label="Move up",
        help="Move the current concept up in the order of the tokens.",
    ),
    Key(
        id="scene.later", keys="greater_than_sign", action="move(1)", label="Move down",
        help="Move the current concept down in the order of the tokens.",
    ),
    Key(
        id="scene.next", keys="full_stop,N", action="cycle(1)", label="Next concept",
        help="Make the next concept the current one.",
    ),
    Key(
        id="scene.previous", keys="comma,P", action="cycle(-1)", label="Previous concept",
        help="Make the previous concept the current one.",
    ),
    *(
        Key(
            id=f"scene.pick{number}", keys=str(number), action=f"pick({number - 1})",
            label=f"Concept {number}", help=f"Make concept {number} the current one.",
        )
        for number in range(1, 9)
    ),
    Key(
        id="scene.background", keys="B", action="background", label="Background",
        help="Make what surrounds the things a concept named background, as --background does.",
    ),
    Key(
        id="scene.full", keys="v", action="full", label="Full screen",
        help="Show the picture on the whole terminal, without masks.",
    ),
    Key(
        id="scene.overlay", keys="V", action="overlay", label="Overlay",
        help="Show masks as tint, as outlines, the current mask's cut-out, or the picture alone.",
    ),
    Key(
        id="scene.base", keys="M", action="next_base", label="Base model",
        help="Choose the next base model for the plan.",
    ),
    Key(
        id="scene.focus_plan", keys="a", action="focus_plan", label="Plan",
        help="Go to the plan and back: base model, steps, settings.",
    ),
    Key(
        id="scene.discard", keys="X", action="discard", label="Back to files",
        help="Drop the painting and take the masks as their files have them; undo takes it back.",
    ),
    Key(
        id="scene.copy", keys="y", action="copy", label="Copy command",
        help="Copy the `bas train` command that does the same as this plan.",
        command="bas train {scene} --masks {masks} --base {base}{settings}",
    ),
    Key(
        id="canvas.left", keys="left,h", action="step(-1, 0)", label="Left",
        help="Move the brush one dot to the left.",
    ),
    Key(
        id="canvas.right", keys="right,l", action="step(1, 0)", label="Right",
        help="Move the brush one dot to the right.",
    ),
    Key(
        id="canvas.up", keys="up,k", action="step(0, -1)", label="Up",
        help="Move the brush one dot up.",
    ),
    Key(
        id="canvas.down", keys="down,j", action="step(0, 1)", label="Down",
        help="Move the brush one dot down.",
    ),
    Key(
        id="canvas.far_left", keys="shift+left,H", action="step(-8, 0)", label="Far left",
        help="Move the brush eight dots to the left.",
    ),
    Key(
        id="canvas.far_right", keys="shift+right,L", action="step(8, 0)", label="Far right",
        help="Move the brush eight dots to the right.",
    ),
    Key(
        id="canvas.far_up", keys="shift+up,K", action="step(0, -8)", label="Far up",
        help="Move the brush eight dots up.",
    ),
    Key(
        id="canvas.far_down", keys="shift+down,J", action="step(0, 8)", label="Far down",
        help="Move the brush eight dots down.",
    ),
    Key(
        id="canvas.use", keys="space", action="use", label="Apply", show=True,
        help="Use the tool at the brush: find the thing, paint a dab, set a box corner, or flood.",
    ),
    Key(
        id="canvas.take", keys="enter", action="take", label="Take",
        help="Take the mask that was found as a concept; with nothing found the same as space.",
    ),
    Key(
        id="canvas.find", keys="d", action="tool('find')", label="Find",
        help="Detect things: a click or space on the thing, or a drag around it; more clicks tell "
        "more. Then A shows the next candidate, enter takes it, escape drops it.",
    ),
    Key(
        id="canvas.unlike", keys="backspace", action="unlike", label="Not this",
        help="Say that the place at the brush is not of the thing (or click it with the right "
        "mouse button).",
    ),
    Key(
        id="canvas.pen", keys="p", action="pen", label="Pen", show=True,
        help="Lower or lift the pen: while it is down, moving the brush paints.",
    ),
    Key(
        id="canvas.brush", keys="b", action="tool('brush')", label="Brush",
        help="Paint with a round brush.",
    ),
    Key(
        id="canvas.erase", keys="e", action="tool('erase')", label="Erase",
        help="Erase with a round brush (or paint with the right mouse button).",
    ),
    Key(
        id="canvas.box", keys="x", action="tool('box')", label="Box",
        help="Drag a box around a thing, or set two corners: its mask is found by itself.",
    ),
    Key(
        id="canvas.flood", keys="f", action="tool('flood')", label="Flood",
        help="Fill the region of about one colour under the brush.",
    ),
    Key(
        id="canvas.smaller", keys="left_square_bracket", action="size(-1)", label="Smaller",
        help="A smaller brush, or less tolerance for flood.",
    ),
    Key(
        id="canvas.larger", keys="right_square_bracket", action="size(1)", label="Larger",
        help="A larger brush, or more tolerance for flood.",
    ),
    Key(
        id="canvas.zoom_in", keys="plus,equals_sign", action="zoom(1)", label="Zoom in",
        help="Zoom in at the brush, down to single pixels.",
    ),
    Key(
        id="canvas.zoom_out", keys="minus", action="zoom(-1)", label="Zoom out",
        help="Zoom out.",
    ),
    Key(
        id="canvas.zoom_fit", keys="z", action="zoom_fit", label="Whole picture",
        help="Show the whole picture, or go back to the last zoom.",
    ),
    Key(
        id="canvas.grow", keys="g", action="change('grow')", label="Grow",
        help="Add a rim of one dot to the mask.",
    ),
    Key(
        id="canvas.shrink", keys="G", action="change('shrink')", label="Shrink",
        help="Take a rim of one dot off the mask.",
    ),
    Key(
        id="canvas.invert", keys="i", action="change('invert')", label="Invert",
        help="Swap inside and outside of the mask.",
    ),
    Key(
        id="canvas.fill", keys="o", action="change('fill_holes')", label="Fill holes",
        help="Fill the holes of the mask.",
    ),
    Key(
        id="canvas.largest", keys="m", action="change('keep_largest')", label="Keep largest",
        help="Keep only the largest piece of the mask.",
    ),
    Key(
        id="canvas.clear", keys="c", action="change('clear')", label="Clear",
        help="Empty the mask.",
    ),
    Key(
        id="canvas.cancel", keys="escape", action="cancel", label="Cancel",
        help="Lift the pen, forget the first corner of a box, or drop what was found.",
    ),
    Key(
        id="legend.down", keys="down,j", action="screen.cycle(1)", label="Next",
        help="Next concept.",
    ),
    Key(
        id="legend.up", keys="up,k", action="screen.cycle(-1)", label="Previous",
        help="Previous concept.",
    ),
    Key(
        id="legend.rename", keys="enter", action="screen.rename", label="Rename", show=True,
        help="Rename the current concept.",
    ),
    Key(id="plan.down", keys="down,j", action="row(1)", label="Down", help="Next line."),
    Key(id="plan.up", keys="up,k", action="row(-1)", label="Up", help="Previous line."),
    Key(
        id="plan.less", keys="left,h,minus", action="change(-1)", label="Less", show=True,
        help="The previous choice, or fewer steps.",
    ),
    Key(
        id="plan.more", keys="right,l,plus,equals_sign", action="change(1)", label="More",
        show=True, help="The next choice, or more steps.",
    ),
    Key(
        id="plan.type", keys="enter", action="edit", label="Type", show=True,
        help="Type the value: a number, a setting such as loss.prior_weight=0, or a model's path.",
    ),
    Key(
        id="plan.set", keys="e", action="settings", label="Settings",
        help="Type settings that differ, such as loss.prior_weight=0 phase2.train=unet.",
    ),
    Key(
        id="plan.leave", keys="escape", action="leave", label="Back", help="Back to the picture."
    ),
)  # fmt: skip

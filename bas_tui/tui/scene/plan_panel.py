"""The plan of a run, line by line: base model, steps, settings, and what to expect of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from bas_tui.tui.scene.keys import KEYS
from bas_tui.tui.scene.run_plan import Plan
from bas_tui.tui.shell.bindings import bindings_of
from engine.core.durations import say_seconds
from engine.core.errors import UserError
from engine.files.space import say_bytes
from engine.models.device_guess import Device
from engine.models.plan import Estimate

Row = Literal["base", "phase1.steps", "phase2.steps", "settings", "train"]
ROWS: tuple[Row, ...] = ("base", "phase1.steps", "phase2.steps", "settings", "train")
LABEL = 9


class PlanPanel(Widget, can_focus=True):
    """Lines to change with left and right, or by clicking their arrows."""

    SCOPE = "plan"
    HELP_TEXT = (
        "What the run will do. Up and down choose a line, left and right change it, enter types a "
        "value. Time and memory are estimates; the line below them says what they rest on."
    )
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "plan"))
    DEFAULT_CSS = "PlanPanel { height: auto; }"

    plan: reactive[Plan] = reactive(Plan, layout=True)
    device: reactive[Device] = reactive(Device("cpu", ""))
    outlook: reactive[Estimate | None] = reactive(None, layout=True)
    blocked: reactive[str] = reactive("")
    """Why training cannot start; empty: it can."""
    starting: reactive[bool] = reactive(False)
    row: reactive[int] = reactive(0)

    class Changed(Message):
        """The person chose another plan."""

        def __init__(self, plan: Plan) -> None:
            super().__init__()
            self.plan = plan

    class Edit(Message):
        """A line's value is to be typed."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row: Row = row

    class Train(Message):
        """The run is to start."""

    def render(self) -> Content:
        """The lines; clickable ones carry their row as click action."""
        plan, width = self.plan, self.size.width
        config = plan.config()
        recipe = len(plan.settings()) - len(plan.changes)
        default = f"{recipe} of the base's own" if recipe else "the paper's"
        rest = plan.words(steps=False)
        settings = Content(rest) if rest else Content.styled(default, "$faint")
        lines = [
            self._choice(0, "base", plan.base, plan.title),
            self._plain("device", f"{self.device.kind}, {self.device.name}"),
            self._choice(1, "phase 1", str(config.phase1.steps), "steps: tokens only"),
            self._choice(2, "phase 2", str(config.phase2.steps), f"steps: {config.phase2.train}"),
            self._row(3, "settings", settings),
            *self._outlook(),
            self._train(),
        ]
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)

    def _mark(self, row: int) -> Content:
        here = self.has_focus and self.row == row
        return Content.styled("▸" if here else " ", "bold $primary")

    def _row(self, row: int, label: str, value: Content) -> Content:
        return Content.assemble(
            self._mark(row),
            Content.styled(f"{label:<{LABEL}}", "$faint"),
            value,
        )

    def _choice(self, row: int, label: str, value: str, remark: str) -> Content:
        content = Content.from_markup(
            "[bold $primary]◂[/] [bold]$value[/] [bold $primary]▸[/] [$faint]$remark[/]",
            value=value,
            remark=remark,
        )
        return self._row(row, label, content)

    def _plain(self, label: str, text: str, style: str = "") -> Content:
        return Content.assemble(
            " ", Content.styled(f"{label:<{LABEL}}", "$faint"), Content.styled(text, style)
        )

    def _outlook(self) -> list[Content]:
        outlook = self.outlook
        if outlook is None:
            return [self._plain("time", "...", "$faint")]
        lines: list[Content] = []
        if outlook.seconds is not None:
            text = f"about {say_seconds(outlook.seconds)}"
            prior = outlook.prior_seconds
            more = "" if prior is None else f"+ {say_seconds(prior)} prior pictures"
            if len(text) + len(more) + LABEL + 2 <= self.size.width:
                lines.append(self._plain("time", f"{text} {more}", "bold"))
            else:
                lines += [self._plain("time", text, "bold"), self._plain("", more, "bold")]
        else:
            lines.append(self._plain("time", "unknown"))
        for part in self._wrapped(f"estimate: {outlook.source}", self.size.width - LABEL - 1):
            lines.append(self._plain("", part, "$faint"))
        if outlook.gigabytes is not None:
            low, high = outlook.gigabytes
            lines.append(self._plain("memory", f"about {low:.0f}-{high:.0f} GB"))
        if outlook.main_memory is not None:
            low, high = outlook.main_memory
            lines.append(self._plain("", f"{low:.0f}-{high:.0f} GB of main memory", "$faint"))
        if outlook.disk is not None and outlook.disk >= 1e9:
            after = say_bytes(outlook.disk_after or 0)
            lines.append(self._plain("disk", f"{say_bytes(outlook.disk)}, {after} after"))
        if outlook.warning:
            for part in self._wrapped(outlook.warning, self.size.width - LABEL - 1):
                lines.append(self._plain("", part, "$warning"))
        return lines

    @staticmethod
    def _wrapped(text: str, width: int) -> list[str]:
        import textwrap

        return textwrap.wrap(text, max(12, width)) or [""]

    def _train(self) -> Content:
        if self.starting:
            return Content.assemble(self._mark(4), Content.styled(" starting ... ", "bold $accent"))
        style = "$faint on $panel" if self.blocked else "bold $background on $success"
        return Content.assemble(
            self._mark(4),
            Content.styled(" Train (t) ", style),
            Content.styled(f" {self.blocked}", "$faint"),
        )

    # Actions

    def _lines_of_rows(self) -> dict[int, int]:
        """Line on the screen -> row."""
        last = 5 + len(self._outlook())
        return {0: 0, 2: 1, 3: 2, 4: 3, last: 4}

    def on_click(self, event: events.Click) -> None:
        """An arrow changes, the value types, the last line trains."""
        offset = event.get_content_offset_capture(self)
        row = self._lines_of_rows().get(offset.y)
        if row is None:
            return
        self.focus()
        self.row = row
        if row == 4:
            self.action_edit()
        elif row == 3:
            self.post_message(self.Edit("settings"))
        else:
            value = self.plan.base if row == 0 else self._steps(ROWS[row])
            place = offset.x - LABEL - 1
            if place in (-1, 0, 1):
                self.action_change(-1)
            elif len(value) + 2 <= place <= len(value) + 4:
                self.action_change(1)

    def _steps(self, row: str) -> str:
        config = self.plan.config()
        return str(config.phase1.steps if row == "phase1.steps" else config.phase2.steps)

    def action_row(self, steps: int) -> None:
        """Another line."""
        self.row = (self.row + steps) % len(ROWS)

    def action_change(self, direction: int) -> None:
        """The next or previous value of the line."""
        row = ROWS[self.row]
        try:
            if row == "base":
                self.post_message(self.Changed(self.plan.next_base(direction)))
            elif row in ("phase1.steps", "phase2.steps"):
                self.post_message(self.Changed(self.plan.stepped(row, direction)))
            elif row == "settings":
                self.post_message(self.Edit("settings"))
        except UserError as error:
            self.app.show_error(error)  # pyright: ignore[reportAttributeAccessIssue]

    def action_edit(self) -> None:
        """Type the value of the line, or start."""
        row = ROWS[self.row]
        self.post_message(self.Train() if row == "train" else self.Edit(row))

    def action_settings(self) -> None:
        """Type settings."""
        self.post_message(self.Edit("settings"))

    def action_leave(self) -> None:
        """Back to the picture."""
        self.screen.set_focus(self.screen.query_one("MaskCanvas"))

    def on_focus(self) -> None:
        """Show the line that has the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide it."""
        self.refresh()

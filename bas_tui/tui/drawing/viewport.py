"""Which part of the picture a canvas shows, and how its cells map to picture pixels.

A *dot* is half a cell: one column wide, half a row high, and so about square.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.scenes.pixel_box import Box, Point

CLOSEST = 0.25
"""Picture pixels per dot at the closest zoom: a pixel is then 4 columns and 2 rows."""


@dataclass(frozen=True, kw_only=True)
class Viewport:
    """A window of `columns` x `rows` cells on a picture of `width` x `height` pixels."""

    width: int
    height: int
    columns: int
    rows: int
    zoom: int = 0
    """0: the whole picture; each step halves the picture pixels per dot, rounded to a power of
    two."""
    left: int = 0
    """First picture column in the window."""
    top: int = 0

    @property
    def fit_scale(self) -> float:
        """Picture pixels per dot that show the whole picture."""
        return max(self.width / max(1, self.columns), self.height / max(1, 2 * self.rows))

    @property
    def scale(self) -> float:
        """Picture pixels per dot."""
        return self._scales()[self.zoom]

    @property
    def max_zoom(self) -> int:
        return len(self._scales()) - 1

    @property
    def crop(self) -> Box:
        """The picture pixels on the screen."""
        width = min(self.width, max(1, round(self.columns * self.scale)))
        height = min(self.height, max(1, round(2 * self.rows * self.scale)))
        left = max(0, min(self.left, self.width - width))
        top = max(0, min(self.top, self.height - height))
        return Box(left, top, left + width, top + height)

    @property
    def dots(self) -> tuple[int, int]:
        """Columns and half-rows that the crop fills; rows are whole, so the second is even."""
        crop = self.crop
        across = max(1, min(self.columns, round(crop.width / self.scale)))
        down = max(2, min(2 * self.rows, 2 * round(crop.height / self.scale / 2)))
        return across, down

    @property
    def offset(self) -> tuple[int, int]:
        """Columns and rows of margin before the picture, which stands in the middle."""
        across, down = self.dots
        return (self.columns - across) // 2, (self.rows - down // 2) // 2

    def to_picture(self, column: float, half_row: float) -> Point:
        """The picture point under a place on the canvas, in columns and half-rows; clamped."""
        crop, (across, down), (margin_x, margin_y) = self.crop, self.dots, self.offset
        x = crop.x0 + (column - margin_x) * crop.width / across
        y = crop.y0 + (half_row - 2 * margin_y) * crop.height / down
        return Point(
            min(max(x, 0.0), self.width - 1e-3),
            min(max(y, 0.0), self.height - 1e-3),
        )

    def to_dots(self, point: Point) -> tuple[float, float]:
        """Column and half-row of a picture point, counted from the picture's top left dot."""
        crop, (across, down) = self.crop, self.dots
        return (
            (point.x - crop.x0) * across / crop.width,
            (point.y - crop.y0) * down / crop.height,
        )

    def zoomed(self, steps: int, at: Point) -> Viewport:
        """Closer (positive) or farther, with `at` kept where it is."""
        zoom = max(0, min(self.max_zoom, self.zoom + steps))
        old = self.crop
        share_x = (at.x - old.x0) / old.width
        share_y = (at.y - old.y0) / old.height
        new = replace(self, zoom=zoom)
        size = new.crop
        left, top = round(at.x - share_x * size.width), round(at.y - share_y * size.height)
        return replace(new, left=left, top=top).settled()

    def panned(self, dx: float, dy: float) -> Viewport:
        """Moved by picture pixels."""
        crop = self.crop
        return replace(self, left=crop.x0 + round(dx), top=crop.y0 + round(dy)).settled()

    def showing(self, point: Point) -> Viewport:
        """Moved just so far that `point` is well inside."""
        crop = self.crop
        margin_x, margin_y = crop.width / 12, crop.height / 12
        dx = min(0.0, point.x - crop.x0 - margin_x) + max(0.0, point.x - crop.x1 + margin_x)
        dy = min(0.0, point.y - crop.y0 - margin_y) + max(0.0, point.y - crop.y1 + margin_y)
        return self.panned(dx, dy) if dx or dy else self

    def resized(self, columns: int, rows: int) -> Viewport:
        """The same place in a window of another size."""
        new = replace(self, columns=max(1, columns), rows=max(1, rows))
        return replace(new, zoom=min(self.zoom, new.max_zoom)).settled()

    def settled(self) -> Viewport:
        """With `left` and `top` where the crop really starts."""
        crop = self.crop
        return replace(self, left=crop.x0, top=crop.y0)

    def _scales(self) -> list[float]:
        scales, step = [self.fit_scale], 4096.0
        while step >= CLOSEST:
            if step < self.fit_scale * 0.9:
                scales.append(step)
            step /= 2
        return scales

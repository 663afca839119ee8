"""Drawn backgrounds: fifteen places and eleven plain colours.

Each painter takes a random generator and returns float32 (CANVAS, CANVAS, 3) in 0..255. They are
smooth on purpose: per-pixel grain would spend the autoencoder's few channels on noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

CANVAS = 160
"""Side of a painted background in pixels; scenes crop their view out of it."""

Rng = np.random.Generator
Colour = tuple[int, int, int]


def smooth_noise(rng: Rng, cells: int, high: int = CANVAS, octaves: int = 2) -> np.ndarray:
    """Cloud-like noise around 0 (about -1..1), float32 (high, CANVAS)."""
    total = np.zeros((high, CANVAS), np.float32)
    for octave in range(octaves):
        count = cells * 2**octave
        grid = rng.random((count, count), np.float32) - 0.5
        picture = Image.fromarray(grid).resize((CANVAS, high), Image.Resampling.BICUBIC)
        total += np.asarray(picture) * 2 * 0.5**octave
    return total


def shade(rng: Rng, colour: Colour, jitter: float = 10) -> np.ndarray:
    """The colour, moved a little."""
    return np.clip(np.array(colour, np.float32) + rng.uniform(-jitter, jitter, 3), 0, 255)


def ramp(top: np.ndarray, bottom: np.ndarray, high: int) -> np.ndarray:
    """Vertical gradient, float32 (high, CANVAS, 3)."""
    t = np.linspace(0, 1, high, dtype=np.float32)[:, None, None]
    return np.repeat(top * (1 - t) + bottom * t, CANVAS, axis=1).astype(np.float32)


def textured(rng: Rng, area: np.ndarray, cells: int, strength: float) -> np.ndarray:
    """Vary the brightness of an area by smooth noise."""
    return area * (1 + strength * smooth_noise(rng, cells, area.shape[0])[..., None])


def sky(rng: Rng, high: int, top: Colour = (95, 165, 238), low: Colour = (195, 226, 250)):
    """Blue sky with soft clouds."""
    area = ramp(shade(rng, top), shade(rng, low), high)
    clouds = np.clip(smooth_noise(rng, 3, high) * 1.6 - 0.35, 0, 0.85)[..., None]
    return area * (1 - clouds) + 252 * clouds


def ground(rng: Rng, high: int, near: Colour, far: Colour, cells: int, strength: float):
    """Ground of ``high`` rows, from far (top) to near."""
    return textured(rng, ramp(shade(rng, far), shade(rng, near), high), cells, strength)


class Pen:
    """Draws antialiased shapes on a background at twice its size."""

    def __init__(self, area: np.ndarray):
        picture = Image.fromarray(area.clip(0, 255).astype(np.uint8))
        self.picture = picture.resize((CANVAS * 2, CANVAS * 2), Image.Resampling.BICUBIC)
        self.draw = ImageDraw.Draw(self.picture)

    def polygon(self, points, colour) -> None:
        """Fill a polygon given in background pixels."""
        self.draw.polygon([(2 * x, 2 * y) for x, y in points], fill=_ints(colour))

    def box(self, x0, y0, x1, y1, colour) -> None:
        """Fill a rectangle given in background pixels."""
        self.draw.rectangle([2 * x0, 2 * y0, 2 * x1, 2 * y1], fill=_ints(colour))

    def oval(self, x, y, rx, ry, colour) -> None:
        """Fill an ellipse given by centre and radii in background pixels."""
        corners = [2 * (x - rx), 2 * (y - ry), 2 * (x + rx), 2 * (y + ry)]
        self.draw.ellipse(corners, fill=_ints(colour))

    def finish(self) -> np.ndarray:
        """The background with what was drawn, float32 (CANVAS, CANVAS, 3)."""
        picture = self.picture.resize((CANVAS, CANVAS), Image.Resampling.BOX)
        return np.asarray(picture).astype(np.float32)


def _ints(colour) -> Colour:
    red, green, blue = (int(np.clip(value, 0, 255)) for value in colour)
    return red, green, blue


def beach(rng: Rng) -> np.ndarray:
    """Sky, sea and sand."""
    top, sea = int(rng.integers(48, 66)), int(rng.integers(16, 26))
    sand = CANVAS - top - sea
    water = ramp(shade(rng, (25, 110, 190)), shade(rng, (80, 195, 215)), sea)
    dunes = ground(rng, sand, (226, 196, 138), (246, 226, 176), 4, 0.06)
    return np.concatenate([sky(rng, top), water, dunes])


def snow(rng: Rng) -> np.ndarray:
    """White ground, pale sky, snowy firs."""
    top = int(rng.integers(50, 72))
    sky_area = ramp(shade(rng, (160, 188, 216)), shade(rng, (218, 229, 240)), top)
    pen = Pen(
        np.concatenate(
            [sky_area, ground(rng, CANVAS - top, (218, 230, 246), (242, 247, 252), 3, 0.04)]
        )
    )
    for _ in range(int(rng.integers(4, 9))):
        x, wide, tall = rng.uniform(0, CANVAS), rng.uniform(8, 13), rng.uniform(26, 42)
        for tier in range(3):
            tip = top - tall + tier * tall * 0.24
            span, drop = wide * (0.5 + 0.25 * tier), tall * 0.45
            green = shade(rng, (60, 105, 105), 5)
            pen.polygon([(x, tip), (x - span, tip + drop), (x + span, tip + drop)], green)
            pen.polygon(
                [(x, tip), (x - span / 2, tip + drop / 2), (x + span / 2, tip + drop / 2)],
                (244, 248, 253),
            )
    area = pen.finish()
    for _ in range(int(rng.integers(10, 26))):
        x, y = rng.integers(0, CANVAS - 3, 2)
        area[y : y + 3, x : x + 3] = area[y : y + 3, x : x + 3] * 0.3 + 178
    return area


def grass(rng: Rng) -> np.ndarray:
    """A meadow under the sky."""
    top = int(rng.integers(56, 80))
    meadow = ground(rng, CANVAS - top, (66, 150, 50), (128, 192, 80), 10, 0.10)
    return np.concatenate([sky(rng, top), meadow])


def forest(rng: Rng) -> np.ndarray:
    """Dark green wood with trunks."""
    pen = Pen(
        textured(rng, ramp(shade(rng, (75, 128, 72)), shade(rng, (36, 80, 40)), CANVAS), 5, 0.25)
    )
    floor = int(rng.integers(96, 112))
    for _ in range(int(rng.integers(7, 11))):
        x, wide = rng.uniform(-5, CANVAS + 5), rng.uniform(4, 9)
        pen.box(x, 0, x + wide, floor + rng.uniform(0, 7), shade(rng, (92, 64, 44)))
    area = pen.finish()
    area[floor + 3 :] = ground(rng, CANVAS - floor - 3, (58, 74, 34), (86, 106, 52), 8, 0.15)
    return area


def space(rng: Rng) -> np.ndarray:
    """Night sky with nebula and stars."""
    cloud = np.clip(smooth_noise(rng, 3) * 0.5 + 0.4, 0, 1)[..., None]
    area = (
        shade(rng, (12, 10, 36), 6) * (1 - cloud) + cloud**2 * shade(rng, (92, 46, 148), 24) * 1.3
    )
    pen = Pen(area)
    for _ in range(int(rng.integers(26, 46))):
        (x, y), r = rng.uniform(0, CANVAS, 2), rng.uniform(0.8, 1.7)
        pen.oval(x, y, r, r, shade(rng, (235, 232, 245)))
    return pen.finish()


def wood(rng: Rng) -> np.ndarray:
    """Wooden planks."""
    base, high = shade(rng, (172, 116, 70), 12), int(rng.integers(28, 40))
    area = np.empty((CANVAS, CANVAS, 3), np.float32)
    rows, start = np.arange(CANVAS), int(rng.integers(0, high))
    plank = (rows + start) // high
    tone = rng.uniform(0.9, 1.08, plank.max() + 1)[plank]
    grain = np.sin(rows * 0.55 + 2 * smooth_noise(rng, 2).T).T * 0.035
    area[:] = base * (tone[:, None] * (1 + grain))[..., None]
    seam = (rows + start) % high < 2
    area[seam] *= 0.62
    return area


def brick(rng: Rng) -> np.ndarray:
    """A brick wall."""
    base, high = shade(rng, (178, 80, 58), 14), int(rng.integers(14, 19))
    wide = high * 2
    area = np.empty((CANVAS, CANVAS, 3), np.float32)
    area[:] = shade(rng, (214, 202, 190))
    for row, y in enumerate(range(0, CANVAS, high)):
        for x in range(-wide + (row % 2) * wide // 2, CANVAS, wide):
            tone = rng.uniform(0.9, 1.1)
            area[y + 2 : y + high, max(0, x + 2) : max(0, x + wide)] = base * tone
    return area


def water(rng: Rng) -> np.ndarray:
    """Open water with ripples."""
    rows = np.arange(CANVAS)[:, None]
    waves = (
        np.sin(rows * rng.uniform(0.34, 0.46) + 2.6 * smooth_noise(rng, 4, octaves=1)) * 0.5 + 0.5
    )
    area = ramp(shade(rng, (84, 182, 224)), shade(rng, (22, 92, 168)), CANVAS)
    return area * (0.9 + 0.22 * waves**2)[..., None]


def desert(rng: Rng) -> np.ndarray:
    """Dunes under a pale sky."""
    top = int(rng.integers(58, 80))
    rows = np.arange(CANVAS - top)[:, None]
    dunes = np.sin(rows * 0.22 + 2.4 * smooth_noise(rng, 2, CANVAS - top, 1)) * 0.5 + 0.5
    sand = ramp(shade(rng, (236, 172, 102)), shade(rng, (206, 134, 68)), CANVAS - top)
    sky_area = ramp(shade(rng, (112, 176, 232)), shade(rng, (248, 226, 186)), top)
    return np.concatenate([sky_area, sand * (0.9 + 0.16 * dunes)[..., None]])


def street(rng: Rng) -> np.ndarray:
    """Houses along a road."""
    top = int(rng.integers(80, 96))
    sky_area = ramp(shade(rng, (150, 188, 224)), shade(rng, (212, 224, 234)), top)
    pen = Pen(
        np.concatenate(
            [sky_area, ramp(shade(rng, (112, 112, 118)), shade(rng, (84, 84, 90)), CANVAS - top)]
        )
    )
    walls = ((186, 152, 130), (150, 162, 178), (206, 188, 160), (176, 112, 96))
    x = -float(rng.uniform(0, 10))
    while x < CANVAS:
        wide, tall = rng.uniform(24, 38), rng.uniform(42, top - 8)
        wall = shade(rng, walls[rng.integers(len(walls))])
        pen.box(x, top - tall, x + wide, top, wall)
        for y in np.arange(top - tall + 6, top - 10, 14):
            for left in np.arange(x + 5, x + wide - 7, 11):
                pen.box(left, y, left + 5, y + 7, wall * 0.55)
        x += wide + 1
    for left in range(int(rng.integers(0, 30)), CANVAS, 38):
        pen.box(left, (top + CANVAS) // 2, left + 18, (top + CANVAS) // 2 + 4, (238, 228, 194))
    return pen.finish()


def room(rng: Rng) -> np.ndarray:
    """A room with a carpet and a window."""
    floor = int(rng.integers(88, 106))
    walls = ((238, 228, 208), (202, 218, 224), (228, 208, 214), (208, 222, 202))
    wall = shade(rng, walls[rng.integers(len(walls))], 6)
    carpet = ramp(shade(rng, (160, 66, 66), 12), shade(rng, (128, 50, 54), 12), CANVAS - floor)
    pen = Pen(np.concatenate([ramp(wall, wall, floor), carpet]))
    pen.box(0, floor - 5, CANVAS, floor, wall * 0.78 + 54)
    if rng.random() < 0.85:
        x, y, side = rng.uniform(14, 100), rng.uniform(18, 30), rng.uniform(32, 44)
        pen.box(x, y, x + side, y + side, (252, 252, 252))
        pen.box(x + 3, y + 3, x + side - 3, y + side - 3, shade(rng, (150, 204, 244)))
        pen.box(x + side / 2 - 1, y, x + side / 2 + 1, y + side, (252, 252, 252))
    return pen.finish()


def mountain(rng: Rng) -> np.ndarray:
    """Snow-capped peaks above a green valley."""
    top = int(rng.integers(84, 100))
    pen = Pen(
        np.concatenate(
            [sky(rng, top), ground(rng, CANVAS - top, (84, 130, 66), (114, 156, 86), 6, 0.08)]
        )
    )
    for _ in range(int(rng.integers(3, 5))):
        x, tall = rng.uniform(0, CANVAS), rng.uniform(48, 76)
        span = tall * rng.uniform(0.7, 1.0)
        pen.polygon(
            [(x, top - tall), (x - span, top), (x + span, top)], shade(rng, (108, 118, 140))
        )
        cap = [
            (x, top - tall),
            (x - span * 0.3, top - tall * 0.7),
            (x, top - tall * 0.77),
            (x + span * 0.3, top - tall * 0.7),
        ]
        pen.polygon(cap, (246, 249, 253))
    return pen.finish()


def sunset(rng: Rng) -> np.ndarray:
    """The sun going down."""
    top, x = int(rng.integers(88, 106)), rng.uniform(36, 124)
    evening = ramp(shade(rng, (96, 54, 124)), shade(rng, (255, 154, 64)), top)
    area = np.concatenate(
        [evening, ramp(shade(rng, (118, 62, 72)), shade(rng, (56, 34, 54)), CANVAS - top)]
    )
    ys, xs = np.mgrid[:CANVAS, :CANVAS]
    distance = np.hypot(xs - x, ys - (top - 9))
    glow = np.exp(-distance / 22)[..., None]
    glow[top:] *= 0.4
    area = area + glow * np.array([190, 130, 50], np.float32)
    disc = np.clip(14 - distance, 0, 1)[..., None] * (ys < top)[..., None]
    return area * (1 - disc) + disc * np.array([255, 236, 164], np.float32)


def check(rng: Rng) -> np.ndarray:
    """A red and white checkered cloth."""
    side = int(rng.integers(14, 20))
    ys, xs = np.mgrid[:CANVAS, :CANVAS] // side
    share = (((ys % 2) + (xs % 2)) / 2).astype(np.float32)[..., None]
    return shade(rng, (250, 245, 240)) * (1 - share) + share * shade(rng, (208, 52, 52))


def leaves(rng: Rng) -> np.ndarray:
    """Fallen leaves."""
    pen = Pen(np.full((CANVAS, CANVAS, 3), 1, np.float32) * shade(rng, (120, 76, 42)))
    tones = ((216, 122, 32), (192, 64, 38), (226, 172, 52), (152, 82, 36))
    for _ in range(230):
        x, y = rng.uniform(0, CANVAS, 2)
        wide, high = rng.uniform(6, 12, 2)
        pen.oval(x, y, wide, high, shade(rng, tones[rng.integers(len(tones))], 14))
    return pen.finish()


class Place(NamedTuple):
    """A background: how it is painted, how it is called, whether things stand on its ground."""

    paint: Callable[[Rng], np.ndarray]
    grounded: bool
    phrases: tuple[str, ...]


PLACES = {
    "beach": Place(beach, True, ("on the beach", "at the beach")),
    "snow": Place(snow, True, ("in the snow", "in the snow", "in snow")),
    "grass": Place(grass, True, ("on the grass", "in a meadow")),
    "forest": Place(forest, True, ("in the forest", "in a forest")),
    "space": Place(space, False, ("in space", "in the night sky")),
    "wood": Place(wood, False, ("on a wooden table", "on a wooden floor")),
    "brick": Place(brick, False, ("in front of a brick wall", "against a brick wall")),
    "water": Place(water, False, ("in the water", "in the ocean")),
    "desert": Place(desert, True, ("in the desert", "in the desert")),
    "street": Place(street, True, ("on the street", "in the city")),
    "room": Place(room, True, ("in a room", "on a carpet in a room")),
    "mountain": Place(mountain, True, ("in the mountains", "with mountains in the background")),
    "sunset": Place(sunset, True, ("at sunset", "with a sunset in the background")),
    "check": Place(check, False, ("on a checkered tablecloth", "on a picnic blanket")),
    "leaves": Place(leaves, False, ("in autumn leaves", "on fallen leaves")),
}

COLOURS: dict[str, Colour] = {
    "red": (206, 52, 52),
    "blue": (62, 108, 216),
    "green": (72, 166, 82),
    "yellow": (242, 212, 72),
    "orange": (240, 146, 48),
    "purple": (136, 76, 186),
    "pink": (245, 162, 192),
    "white": (246, 246, 246),
    "black": (24, 24, 26),
    "gray": (140, 140, 142),
    "brown": (126, 84, 52),
}


def plain(rng: Rng, colour: str) -> np.ndarray:
    """A plain backdrop with a faint vertical gradient."""
    base = shade(rng, COLOURS[colour], 6)
    return ramp(base * rng.uniform(0.97, 1.05), base * rng.uniform(0.92, 1.0), CANVAS)


def kinds() -> tuple[str, ...]:
    """Names of all backgrounds: the places, then ``plain <colour>``."""
    return (*PLACES, *(f"plain {colour}" for colour in COLOURS))


def phrases(kind: str) -> tuple[str, ...]:
    """How captions name a background."""
    if kind in PLACES:
        return PLACES[kind].phrases
    colour = kind.removeprefix("plain ")
    article = "an" if colour[0] in "aeiou" else "a"
    return (f"on {article} {colour} background", f"on {article} {colour} background")


def grounded(kind: str) -> bool:
    """Whether objects stand on a ground in this background."""
    return kind in PLACES and PLACES[kind].grounded


def paint(rng: Rng, kind: str) -> np.ndarray:
    """Paint one background, uint8 (CANVAS, CANVAS, 3)."""
    colour = kind.removeprefix("plain ")
    area = PLACES[kind].paint(rng) if kind in PLACES else plain(rng, colour)
    return area.clip(0, 255).astype(np.uint8)

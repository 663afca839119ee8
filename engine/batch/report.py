"""report.html of a batch: one file, a row per scene. No torch here."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.batch.folder import BatchDir, read_batch
from engine.batch.status import Row, newest_preview, status
from engine.core.errors import UserError
from engine.core.settings import setting_words
from engine.files.atomic import write_atomic
from engine.jobs.report_parts import escaped, jpeg_data, open_png
from engine.runs.event_reading import read_events
from engine.runs.events import StepDone
from engine.runs.folder import RunDir
from engine.runs.manifest import Manifest, read_manifest
from engine.runs.prompts import all_together

SIDE = 176
"""Shown side of a picture, pixels."""
POINTS = 60
"""Points of a loss curve: means of equal parts of the run."""
TINTS = ((230, 70, 50), (50, 120, 230), (60, 170, 70), (200, 140, 20), (160, 70, 190))

STYLE = """
:root { color-scheme: light dark; --edge: #8884; --line: #c2410c; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 0 0 .3rem; }
article { border-top: 1px solid var(--edge); padding: 1.2rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-start; }
figure { margin: 0; } figcaption { font-size: .78rem; opacity: .8; max-width: 22rem; }
img { display: block; border-radius: 3px; max-width: 100%; }
code { background: var(--soft); padding: .1rem .3rem; border-radius: 3px; }
p { margin: .2rem 0 .6rem; } .bad { color: #dc2626; } .good { color: #16a34a; }
svg { background: var(--soft); border-radius: 3px; }
polyline { fill: none; stroke: var(--line); stroke-width: 1.5; }
"""


def write_report(folder: BatchDir) -> Path:
    """Write the page as it is now; its path. Raises UserError where it cannot be written."""
    try:
        write_atomic(folder.report, report(folder).encode())
    except OSError as error:
        raise UserError(
            f"cannot write {folder.report}: {error.strerror}", "free the disk, or check its rights"
        ) from error
    return folder.report


def report(folder: BatchDir) -> str:
    """The page: no network, no other file."""
    now = status(folder)
    manifests = {row.scene.name: _manifest(row.scene.run) for row in now.rows}
    shared = _shared([found.settings for found in manifests.values() if found is not None])
    title = html.escape(folder.name)
    head = f"{now.done} of {len(now.rows)} scenes finished"
    head += f", {now.failed} failed" if now.failed else ""
    lines = [f"<h1>{title}</h1>", f"<p>{head} · {html.escape(read_batch(folder).source)}</p>"]
    if shared:
        lines.append(f"<p>Settings of all: {_settings(shared)}</p>")
    lines += [_article(row, manifests[row.scene.name], shared) for row in now.rows]
    body = "\n".join(lines)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n'
        f"{body}\n</html>\n"
    )


def loss_points(run: RunDir) -> list[float]:
    """The masked loss over a run, at most POINTS means of equal parts."""
    losses = {e.step: e.masked for e in read_events(run) if isinstance(e, StepDone)}
    values = np.array([losses[step] for step in sorted(losses)])
    parts = np.array_split(values, min(POINTS, max(1, len(values))))
    return [float(part.mean()) for part in parts if len(part)]


def _article(row: Row, manifest: Manifest | None, shared: Mapping[str, Any]) -> str:
    kind = {"finished": "good", "failed": "bad"}.get(row.state, "")
    state = f"<span class={kind}>{row.state}</span>" if kind else row.state
    lines = [f"<article><h2>{html.escape(row.scene.name)}</h2>"]
    facts = [
        state,
        f"step {row.step} of {row.total_steps}",
        f"run <code>{row.scene.run_name}</code>",
    ]
    own: dict[str, Any] = {}
    if manifest is not None:
        facts.append(f"base {html.escape(Path(manifest.base).name)}")
        own = {k: v for k, v in manifest.settings.items() if shared.get(k, own) != v}
    lines.append(f"<p>{' · '.join(facts)}</p>")
    if row.message:
        lines.append(f"<p class=bad>{escaped(row.message)}</p>")
    if own:
        lines.append(f"<p>Its own settings: {_settings(own)}</p>")
    lines.append("<div class=pictures>")
    lines += _pictures(row, manifest)
    lines.append("</div>")
    if row.state == "finished" and manifest is not None:
        tokens = all_together(manifest.concepts, manifest.grammar, by_name=True)
        command = f'bas gen "a photo of {tokens} on a beach" --run {row.scene.run_name}'
        lines.append(f"<p>Draw with it: <code>{html.escape(command)}</code></p>")
    return "\n".join([*lines, "</article>"])


def _pictures(row: Row, manifest: Manifest | None) -> list[str]:
    figures: list[str] = []
    try:
        names = ", ".join(concept.name for concept in manifest.concepts) if manifest else ""
        figures.append(_figure(_scene_with_masks(row.scene.run), (SIDE, SIDE), names))
    except (OSError, ValueError):
        figures.append("<figure><figcaption>the scene cannot be read</figcaption></figure>")
    preview = newest_preview(row.scene)
    if preview is not None:
        try:
            picture = open_png(preview)
            size = round(SIDE * picture.width / picture.height), SIDE
            step = preview.stem.removeprefix("step-").lstrip("0")
            figures.append(_figure(picture, size, f"each thing, then all together; step {step}"))
        except (OSError, ValueError):
            pass
    points = loss_points(row.scene.run)
    if len(points) > 1:
        figures.append(_curve(points))
    return figures


def _figure(picture: Image.Image, size: tuple[int, int], caption: str) -> str:
    data = jpeg_data(picture, size)
    return (
        f'<figure><img alt="" width={size[0]} height={size[1]} src="{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _scene_with_masks(run: RunDir) -> Image.Image:
    """The photo with a tint over each thing."""
    image = open_png(run.scene / "image.png")
    pixels = np.asarray(image).astype(np.float32)
    for index, path in enumerate(sorted((run.scene / "masks").glob("*.png"))):
        mask = np.asarray(open_png(path))[..., 0] > 127
        tint = np.array(TINTS[index % len(TINTS)], np.float32)
        if mask.shape == pixels.shape[:2]:
            pixels[mask] = 0.65 * pixels[mask] + 0.35 * tint
    return Image.fromarray(pixels.astype(np.uint8))


def _curve(points: Sequence[float]) -> str:
    low, high = min(points), max(points)
    span = high - low or 1.0
    width, height = 240, SIDE
    places = " ".join(
        f"{8 + index * (width - 16) / (len(points) - 1):.1f},"
        f"{8 + (height - 16) * (1 - (value - low) / span):.1f}"
        for index, value in enumerate(points)
    )
    caption = f"masked loss, {points[0]:.4f} at first, {points[-1]:.4f} at last"
    return (
        f'<figure><svg width={width} height={height} role="img" aria-label="{caption}">'
        f'<polyline points="{places}"/></svg><figcaption>{caption}</figcaption></figure>'
    )


def _settings(table: Mapping[str, Any]) -> str:
    return " ".join(f"<code>{html.escape(word)}</code>" for word in setting_words(table))


def _shared(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that all have."""
    if not tables:
        return {}
    missing = object()
    return {
        key: value
        for key, value in tables[0].items()
        if all(table.get(key, missing) == value for table in tables[1:])
    }


def _manifest(run: RunDir) -> Manifest | None:
    try:
        return read_manifest(run)
    except UserError:
        return None

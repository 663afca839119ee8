"""A study as one HTML page: works from a file, needs no network, saves a JSON file. No torch."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path

from PIL import Image

from engine.evaluate.study import HIGH, LOW, Study

SIDE = 320
"""Shown side of a picture; small ones are enlarged once, smoothly."""

IDENTITY_QUESTION = "How well does the picture show the very things on the left?"
PROMPT_QUESTION = "How well does the picture fit the text?"
SCALE = ("not at all", "poorly", "partly", "well", "perfectly")

TEMPLATE = Path(__file__).with_name("study_page.html")


def study_page(study: Study) -> str:
    """The page; nothing in it tells which method made a picture."""
    trials = study.trials()
    files = {trial.picture for trial in trials}
    files |= {reference for trial in trials for reference in trial.references}
    images = {name: _image(study.path / name) for name in sorted(files)}
    shown = [
        {
            "id": trial.id,
            "prompt": trial.prompt,
            "references": trial.references,
            "picture": trial.picture,
        }
        for trial in trials
    ]
    values = {
        "@TITLE@": html.escape(study.name),
        "@COUNT@": str(len(trials)),
        "@LOW@": str(LOW),
        "@HIGH@": str(HIGH),
        "@IDENTITY@": html.escape(IDENTITY_QUESTION),
        "@PROMPT@": html.escape(PROMPT_QUESTION),
        "@STUDY@": _script(study.name),
        "@TRIALS@": _script(shown),
        "@IMAGES@": _script(images),
        "@SCALE@": _script(SCALE),
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    for mark, value in values.items():
        page = page.replace(mark, value)
    return page


def _script(value: object) -> str:
    """JSON that cannot end the script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _image(path: Path) -> str:
    with Image.open(path, formats=("PNG",)) as opened:
        picture = opened.convert("RGB")
    if picture.width < SIDE:
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

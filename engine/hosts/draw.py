"""The generation host: requests as JSON lines in, events as JSON lines out.

It keeps the last run's model in memory, so that the second request starts at once.
"""

from __future__ import annotations

import math
import secrets
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from PIL import Image

from engine.core.errors import BasError
from engine.core.prompt_grammar import TOKEN
from engine.drawing.sampler import Cancelled, Denoised
from engine.families.contract import Family
from engine.families.devices import choose_device, free_memory_of_the_dead
from engine.hosts.event_lines import EventLines
from engine.hosts.picture_jobs import (
    Drawing,
    Job,
    Made,
    OnJobStep,
    PhotoJob,
    PromptJob,
    SceneThings,
    Start,
    StartOf,
    read_edit,
    read_square,
)
from engine.hosts.request_lines import RequestLines
from engine.models.additions import vocabulary
from engine.results.learned_model import LearnedModel, load_learned
from engine.results.pictures import save_generated, save_sheet
from engine.results.previews import save_picture
from engine.runs.added_files import keep_added
from engine.runs.events import (
    GenerationEnded,
    GenerationStarted,
    GenerationStep,
    Notice,
    PictureSaved,
)
from engine.runs.folder import RunDir
from engine.runs.manifest import read_manifest
from engine.runs.prompts import missing_opening, resolve_prompt
from engine.runs.requests import Additions, GenerationRequest, too_few_to_pick

PREVIEWS_PER_PICTURE = 5


def serve_generation(requests: TextIO, events: TextIO) -> int:
    """Answer requests until end of file; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="bas-") as folder:
        _GenerationHost(requests, events, Path(folder)).serve()
    return 0


class _Loaded(NamedTuple):
    """What is kept between requests."""

    key: tuple[object, ...]
    """Run, time of its result, device; what is added, and when that was written."""
    strength: float
    model: LearnedModel


class _GenerationHost:
    def __init__(self, requests: TextIO, events: TextIO, scratch: Path) -> None:
        self._requests = RequestLines(requests, self._rest)
        self._emit, self._scratch = EventLines(events), scratch
        self._cancelled = self._requests.cancelled
        self._loaded: _Loaded | None = None

    def serve(self) -> None:
        for record in self._requests:
            self._answer(record)

    def _answer(self, record: dict[str, Any]) -> None:
        name = str(record.get("request", ""))
        try:
            if name in self._cancelled:
                raise Cancelled
            self._generate(GenerationRequest.parse({"request": name, **record}))
        except Cancelled:
            self._emit(GenerationEnded(request=name, outcome="cancelled"))
        except BasError as error:
            self._failed(name, error.message, error.remedy)
        except (MemoryError, RuntimeError) as error:
            traceback.print_exc(file=sys.stderr)
            self._failed(name, f"generation failed: {error}", "try fewer steps or --device cpu")
        except OSError as error:
            self._failed(name, f"cannot write the picture: {error}", "choose another folder")
        except Exception as error:  # A damaged result must not end the requests that wait.
            traceback.print_exc(file=sys.stderr)
            self._failed(name, f"generation failed: {error}", "see the log, or train the run anew")
        finally:
            self._cancelled.discard(name)

    def _failed(self, request: str, message: str, remedy: str) -> None:
        self._emit(
            GenerationEnded(request=request, outcome="failed", message=message, remedy=remedy)
        )

    def _generate(self, request: GenerationRequest) -> None:
        manifest = read_manifest(request.run)
        # Before the model, whose loading takes long.
        known = vocabulary(manifest.concepts, request.additions)
        for text in (*request.prompts, request.negative):
            resolve_prompt(text, known.concepts, words=known.unread)
        photo = read_edit(request.edit) if request.edit is not None else None
        start: Start | StartOf | None = None
        if request.picture is not None:
            start = Start(read_square(request.picture))
        if request.places:
            start = SceneThings(request.run, manifest.concepts).placed(request.places)
        if request.arrange:
            named = resolve_prompt(request.prompt, known.concepts, words=known.unread)
            things = SceneThings(request.run, manifest.concepts)
            start = things.arranged({match.group(0) for match in TOKEN.finditer(named)})
        model = self._model(request.run, request)
        family, config = model.family, model.config
        concepts, words = model.concepts, model.words
        prompts = [
            resolve_prompt(prompt, concepts, manifest.grammar, words) for prompt in request.prompts
        ]
        negative = resolve_prompt(request.negative, concepts, words=words)
        openings = [missing_opening(prompt, config.prompt) for prompt in request.prompts]
        prompts = [" ".join(pair).strip() for pair in zip(openings, prompts, strict=True)]
        steps = request.steps or config.sampling.steps
        guidance = config.sampling.guidance if request.guidance is None else request.guidance
        seed = secrets.randbelow(2**31) if request.seed is None else request.seed
        self._emit(
            GenerationStarted(
                request=request.request, run=request.run.name, prompt=request.prompt, seed=seed,
                count=request.count, steps=steps, guidance=guidance, negative=request.negative,
                opening=openings[0],
            )
        )  # fmt: skip
        if (request.places or request.arrange) and config.data.compose == 0:
            self._emit(
                Notice(
                    level="warning",
                    message="this run has seen its things only where the photo shows them: "
                    "other places are kept less often",
                    remedy="train with --set data.compose=0.5",
                )
            )
        self._warn_of_long_texts(family, [*prompts, negative])
        drawing = Drawing(
            model=model, prompts=tuple(prompts), steps=steps, guidance=guidance,
            negative=negative, on_step=self._on_step(request, family),
        )  # fmt: skip
        if request.pick and len(drawing.things(prompts[0])) < 2:
            raise too_few_to_pick()
        job: Job = PromptJob(drawing, start, request.noise)
        if photo is not None:
            job = PhotoJob(drawing, photo)
        recipe: dict[str, object] = {
            "prompt": request.prompt,
            "opening": openings[0],
            "read": " | ".join(prompts),
            "negative": request.negative,
            "steps": steps,
            "guidance": guidance,
            "strength": request.strength,
            "run": request.run.name,
            "base": manifest.base,
            **request.additions.told(),
            **({"place": " ".join(one.text for one in request.places)} if request.places else {}),
            "software": f"bas {_version('bas-tui')}, torch {_version('torch')}, "
            f"diffusers {_version('diffusers')}",
        } | dict(job.recipe)
        out, stem = request.out, job.stem(request.prompt)
        seeds = [seed + index for index in range(request.count)]
        made: list[Made] = []

        def save(index: int) -> None:
            one = made[index]
            told: dict[str, object] = {"seed": seeds[index]}
            told |= {} if math.isnan(one.score) else {"score": f"{one.score:.3f}"}
            told |= {"verdict": one.verdict} if one.verdict else {}
            told |= {"place": one.place} if one.place else {}
            path = save_generated(one.pixels, out, f"{stem}-{seeds[index]}", recipe | told)
            self._emit(
                PictureSaved(
                    request=request.request, index=index, path=str(path.resolve()),
                    seed=seeds[index], score=one.score, verdict=one.verdict,
                )
            )  # fmt: skip

        with model.computing():
            for one in job.pictures(seeds):
                if not made:
                    job.keep(out)
                    keep_added(request.additions, out)
                made.append(one)
                if not request.pick:
                    save(len(made) - 1)
        # The most complete first; as drawn where nothing is compared.
        order = sorted(range(len(made)), key=lambda index: -np.nan_to_num(made[index].score))
        for index in order[: request.pick]:
            save(index)
        tiles = [*job.before, *(made[index].pixels for index in order)]
        labels = [*("" for _ in job.before), *(made[index].verdict for index in order)]
        sheet = ""
        if len(tiles) > 1:
            sheet = str(save_sheet(tiles, out, f"{stem}-{seed}-sheet", labels).resolve())
        self._emit(GenerationEnded(request=request.request, outcome="finished", sheet=sheet))

    def _warn_of_long_texts(self, family: Family, texts: Sequence[str]) -> None:
        for text in texts:
            length, limit = family.text.length(text), family.text.limit
            if length > limit:
                message = f"the model reads {limit - 2} tokens of the prompt's {length - 2}"
                self._emit(Notice(level="warning", message=message, remedy="shorten the prompt"))

    def _on_step(self, request: GenerationRequest, family: Family) -> OnJobStep:
        def on_step(done: Denoised, steps: int) -> None:
            every = max(1, steps // PREVIEWS_PER_PICTURE)
            if request.request in self._cancelled:
                raise Cancelled
            preview = ""
            if request.step_previews and done.step % every == 0 and done.step < steps:
                picture = Image.fromarray(family.codec.decode(done.latents)[0])
                picture.thumbnail((128, 128))
                path = self._scratch / f"{request.request}-{done.picture}-{done.step}.png"
                save_picture(picture, path)
                preview = str(path)
            self._emit(
                GenerationStep(
                    request=request.request, index=done.picture, step=done.step, steps=steps,
                    preview=preview,
                )
            )  # fmt: skip

        return on_step

    def _rest(self) -> None:
        """Hold no model: a training on the same card wants the memory."""
        if self._loaded is not None:
            self._loaded = None
            free_memory_of_the_dead()

    def _model(self, run: RunDir, request: GenerationRequest) -> LearnedModel:
        """The run's model with its concepts; loaded again only when they have changed."""
        result = run.concepts / "concepts.json"
        stamp = result.stat().st_mtime_ns if result.is_file() else 0
        key = (str(run.path), stamp, request.device, request.additions, *_stamps(request.additions))
        strength = request.strength
        if self._loaded is not None and self._loaded.key == key:
            change = self._loaded.model.change
            if change is not None:
                change.strength = strength
            if change is not None or self._loaded.strength == strength:
                return self._loaded.model
        self._rest()
        model = load_learned(
            run,
            device=choose_device(request.device),
            report=self._emit,
            strength=strength,
            additions=request.additions,
        )
        self._loaded = _Loaded(key, strength, model)
        return model


def _stamps(additions: Additions) -> list[int]:
    """When each addition was last written."""
    paths = [Path(one.source) for kind in additions for one in kind]
    paths = [path / "concepts" if path.is_dir() else path for path in paths]
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"

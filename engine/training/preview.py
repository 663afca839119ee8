"""A preview picture between two steps: a failed one is a warning, the run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from engine.core.config import TrainConfig
from engine.core.memory import is_out_of_memory
from engine.families.contract import Family, Recording
from engine.families.placement import computing
from engine.results.previews import preview_prompts, render_preview, save_picture
from engine.runs.events import Event, Notice, PreviewSaved, Progress
from engine.runs.folder import RunDir


def draw_preview(
    family: Family,
    config: TrainConfig,
    run: RunDir,
    recorder: Recording,
    *,
    names: Sequence[str],
    background: int | None,
    step: int,
    precision: str,
    resolution: int,
) -> Iterator[Event]:
    """Draw a picture per token and one of all; nothing of the training state is touched."""
    prompts = preview_prompts(config.prompt, names, config.grammar, background=background)
    yield Progress(stage="preview", done=0, total=len(prompts))
    path = run.previews / f"step-{step:06d}.png"
    try:
        family.codec.park(parked=False)
        with recorder.suspended(), computing(family, precision):
            picture = render_preview(
                family,
                prompts,
                seed=config.preview.seed,
                steps=config.preview.steps,
                guidance=config.sampling.guidance,
                resolution=resolution,
                sampler=config.preview.sampler,
            )
        save_picture(picture, path)
    except (OSError, MemoryError, RuntimeError) as error:
        if not isinstance(error, OSError) and not is_out_of_memory(error):
            raise
        why = error.strerror if isinstance(error, OSError) else "out of memory"
        yield Notice(
            level="warning",
            message=f"no preview at step {step}: {why or error}",
            remedy="the run goes on; --set preview.every=0 draws none",
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return
    finally:
        family.codec.park(parked=True)
    relative = str(path.relative_to(run.path))
    yield PreviewSaved(
        step=step, path=relative, prompt=" | ".join(prompts), seed=config.preview.seed
    )

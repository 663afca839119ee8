"""The prior pictures that several runs are going to share, made once before the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.config import TrainConfig
from engine.families.devices import choose_device, choose_precision
from engine.families.loading import load_for
from engine.runs.events import Progress
from engine.runs.folder import cache_dir
from engine.training.preparation import prepare_prior_posteriors


def share_prior(base: str, configs: Sequence[TrainConfig]) -> None:
    """Sample and encode what is missing for runs of these settings on one base model.

    Prints a line a picture. The model is loaded as the first of them says.
    """
    if not configs:
        return
    device = choose_device(configs[0].device)
    precision = choose_precision(configs[0].precision, device)
    loaded = load_for(
        base, configs[0], device=device, precision=precision, report=lambda _event: None
    )
    made: set[str] = set()
    for config in configs:
        wanted = repr((config.base, config.loss, config.sampling.guidance, config.resolution))
        if wanted in made:
            continue
        made.add(wanted)
        for event in prepare_prior_posteriors(
            loaded.family,
            cache_dir(),
            config,
            base_hash=loaded.base_hash,
            precision=choose_precision(config.precision, device),
        ):
            if isinstance(event, Progress):
                print(f"prior pictures {event.done}/{event.total}", flush=True)

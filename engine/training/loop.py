"""The training loop: a generator of events that owns step, random generators and optimiser.

It knows no screen, no terminal and no socket. Equal seeds give equal runs, with or without
previews, in one go or resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn, optim

from engine.core.config import TrainConfig
from engine.core.settings import to_table
from engine.families.contract import Family, Posterior
from engine.families.devices import autocast, make_accelerator
from engine.families.recorder import Recorder
from engine.families.tokens import asset_token, encode_prompts
from engine.results.concepts import save_concepts, snapshot
from engine.results.previews import preview_prompts, render_preview, save_picture
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import (
    CheckpointSaved,
    Event,
    Notice,
    Paused,
    PhasePlan,
    PhaseStarted,
    PreviewSaved,
    Progress,
    Resumed,
    RunEnded,
)
from engine.runs.folder import RunDir, cache_dir
from engine.runs.manifest import ConceptEntry
from engine.scenes.scene import Scene, resize_scene
from engine.training.batches import DrawnBatch, Prompts, draw_batch
from engine.training.checkpoints import (
    CheckpointState,
    list_checkpoints,
    load_optimizer,
    load_weights,
    read_state,
    save_checkpoint,
)
from engine.training.optimizer_step import OptimizerStep
from engine.training.phases import (
    make_optimizer,
    phase_of,
    plan_phases,
    select_parameters,
    trained_parameters,
)
from engine.training.pictures import Pair, stream
from engine.training.preparation import (
    Stopped,
    add_concept_tokens,
    encode_scene,
    prepare_prior_posteriors,
    until_stopped,
)
from engine.training.step import TrainingStep
from engine.training.step_events import attention_event, run_started, step_done

PLAIN_ATTENTION_LATENTS = 32
"""Up to this latent side, plain attention is fastest on a CPU and its memory is harmless."""


def train(
    family: Family,
    scene: Scene,
    config: TrainConfig,
    *,
    initializers: Sequence[str] = (),
    run: RunDir | None = None,
    commands: CommandQueue | None = None,
    accelerator: Accelerator | None = None,
    base: str = "",
    base_hash: str = "",
) -> Iterator[Event]:
    """Learn one token per concept of the scene; the family's weights are changed in place.

    `initializers` holds a word (or an empty string) per concept. With `run`, checkpoints, previews
    and concepts are written there, and a run that has a checkpoint goes on from it. Ends with
    RunEnded (finished or stopped). Raises UserError for settings that do not fit the model and
    TrainingError when training cannot go on (a loss that is not a number, out of memory).
    """
    if accelerator is None:
        accelerator = make_accelerator(
            family.device.type, config.precision, config.gradient_accumulation
        )
    trainer = _Trainer(family, scene, config, tuple(initializers), accelerator)
    trainer.run, trainer.base, trainer.base_hash = run, base or family.name, base_hash
    trainer.commands = commands or CommandQueue()
    yield from trainer.events()


class _Trainer:
    """The state of one run between its events."""

    def __init__(
        self,
        family: Family,
        scene: Scene,
        config: TrainConfig,
        initializers: tuple[str, ...],
        accelerator: Accelerator,
    ) -> None:
        self.family, self.config, self.accelerator = family, config, accelerator
        self.run: RunDir | None = None
        self.base = self.base_hash = ""
        self.commands = CommandQueue()
        self.resolution = config.resolution or family.resolution
        self.scene = resize_scene(scene, self.resolution)
        words = initializers or ("",) * len(scene.concepts)
        self.concepts = tuple(
            ConceptEntry(token=asset_token(index), name=concept.name, initializer=word)
            for index, (concept, word) in enumerate(zip(scene.concepts, words, strict=True))
        )
        self.plans = plan_phases(config)
        self.preview_every = config.preview.every
        self.attention_every = config.preview.attention_every
        mixed = accelerator.mixed_precision
        self.precision = "fp32" if mixed == "no" else mixed
        # Processes of one run draw different samples; everything else is equal in all of them.
        self.generator = stream(config.seed, f"steps/{accelerator.process_index}")
        self.generator_name = f"steps{accelerator.process_index}"
        self.step = 0
        self.resume: CheckpointState | None = None
        self.pairs: list[Pair] = []
        self.prior: Posterior | None = None
        self.before: dict[str, torch.Tensor] = {}

    def events(self) -> Iterator[Event]:
        """Prepare, then train phase by phase."""
        config, family = self.config, self.family
        layers = family.layers_on_grid(self.resolution, config.loss.attention_grid)
        self._find_checkpoint()
        add_concept_tokens(family, config, [c.initializer for c in self.concepts])
        yield run_started(
            self.scene,
            config,
            run=self.run.name if self.run else "",
            base=self.base,
            device=str(self.accelerator.device),
            precision=self.precision,
            step=self.step,
            concepts=self.concepts,
            phases=self.plans,
        )
        try:
            yield from self._prepare()
        except Stopped:
            yield RunEnded(step=self.step, outcome="stopped")
            return
        family.park_vae(parked=True)
        if config.gradient_checkpointing:
            family.checkpoint_activations()
        small = family.latent_size(self.resolution) <= PLAIN_ATTENTION_LATENTS
        plain = small and family.device.type == "cpu"
        with family.recorder(layers, plain_attention=plain) as recorder:
            while self.step < config.total_steps:
                stopped = yield from self._train_phase(recorder)
                if stopped:
                    yield RunEnded(step=self.step, outcome="stopped")
                    return
        yield RunEnded(step=self.step, outcome="finished")

    def _prepare(self) -> Iterator[Event]:
        """Encode the pictures and sample the prior; raises Stopped."""
        config, family = self.config, self.family
        encoding = encode_scene(
            family, self.scene, config.data, grid=config.loss.attention_grid, seed=config.seed
        )
        self.pairs = yield from until_stopped(encoding, self.commands)
        wanted = config.phase2.steps > 0 or config.optimizer.clip_whole_embedding
        if not wanted or config.loss.prior_weight == 0:
            return
        sampling = prepare_prior_posteriors(
            family,
            cache_dir(),
            config.loss,
            base_hash=self.base_hash or family.name,
            guidance=config.sampling.guidance,
            resolution=self.resolution,
        )
        first = self.accelerator.main_process_first()
        with first, autocast(family.device, self.precision):
            self.prior = yield from until_stopped(sampling, self.commands)

    def _train_phase(self, recorder: Recorder) -> Generator[Event, None, bool]:
        """Train to the end of the current phase; returns True when told to stop before."""
        config, family = self.config, self.family
        plan = phase_of(self.step + 1, self.plans)
        parameters = trained_parameters(family, plan.number, config.phase2.train)
        clipped = dict(parameters)
        exact_clipping = plan.number == 1 and config.optimizer.clip_whole_embedding
        if exact_clipping:
            clipped |= trained_parameters(family, 2, "rows")
        select_parameters(family, clipped)
        weights = family.weights()
        self.before = snapshot({k: v for k, v in parameters.items() if k in weights})
        optimizer = make_optimizer(parameters, plan.learning_rate, config.optimizer)
        self._restore(plan, parameters, optimizer)
        loss = config.loss
        module = TrainingStep(
            family,
            recorder,
            masked=loss.masked,
            divide_by_area=loss.divide_by_area,
            attention_weight=loss.attention_weight,
            prior_weight=loss.prior_weight,
        )
        # The prior's gradient on the new rows is exactly zero, so phase 1 leaves it out.
        with_prior = self.prior is not None and (plan.number == 2 or exact_clipping)
        stepper = OptimizerStep(
            self.accelerator,
            module,
            optimizer,
            list(clipped.values()),
            clip_norm=config.optimizer.clip_norm,
            draw=self._drawer(self.prior if with_prior else None),
            prior_rows=config.batch_size if with_prior else 0,
        )
        trained = sum(parameter.numel() for parameter in parameters.values())
        yield PhaseStarted(phase=plan.number, step=self.step + 1, trained_parameters=trained)
        clipped_steps = 0
        while self.step < plan.last:
            if (yield from self._obey(plan, recorder, parameters, optimizer)):
                yield from self._save(plan, parameters, optimizer)
                return True
            started = time.perf_counter()
            result = stepper.take(self.step + 1)
            self.step += 1
            seconds = time.perf_counter() - started
            yield step_done(result, step=self.step, phase=plan.number, seconds=seconds)
            clipped_steps += result.grad_norm > config.optimizer.clip_norm > 0
            if self._due(self.attention_every) and result.maps_SKQ.numel():
                grid = config.loss.attention_grid
                yield attention_event(result, step=self.step, grid=grid, concepts=self.concepts)
            if self._due(self.preview_every):
                yield from self._preview(recorder)
            if self._due(config.checkpoint_every) or self.step == plan.last:
                yield from self._save(plan, parameters, optimizer)
        share = f"{clipped_steps} of {plan.last - plan.first + 1} steps"
        yield Notice(
            level="info", message=f"phase {plan.number}: gradient clipping acted in {share}"
        )
        return False

    def _obey(
        self,
        plan: PhasePlan,
        recorder: Recorder,
        parameters: dict[str, nn.Parameter],
        optimizer: optim.Optimizer,
    ) -> Generator[Event, None, bool]:
        """Carry out what was asked since the last step; returns True for `stop`."""
        pending, paused = self._shared(self.commands.poll()), False
        while True:
            for command in pending:
                if command.word == "stop":
                    return True
                if command.word == "pause" and not paused:
                    paused = True
                    yield Paused(step=self.step)
                elif command.word == "resume" and paused:
                    paused = False
                    yield Resumed(step=self.step)
                elif command.word == "preview":
                    yield from self._preview(recorder)
                elif command.word == "checkpoint":
                    yield from self._save(plan, parameters, optimizer)
                elif command.word == "set" and command.key == "preview.every":
                    self.preview_every = command.value
                elif command.word == "set":
                    self.attention_every = command.value
            if not paused:
                return False
            pending = self._shared(self.commands.wait(0.5))

    def _shared(self, commands: list[Command]) -> list[Command]:
        """The main process's commands, in every process of a distributed run."""
        if self.accelerator.num_processes == 1:
            return commands
        return broadcast_object_list([commands])[0]

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _find_checkpoint(self) -> None:
        found = list_checkpoints(self.run.checkpoints) if self.run else []
        if found:
            self.resume = read_state(found[-1])
            self.step = self.resume.step
            self.generator.set_state(self.resume.generators[self.generator_name])

    def _restore(
        self, plan: PhasePlan, parameters: dict[str, nn.Parameter], optimizer: optim.Optimizer
    ) -> None:
        """Load the checkpoint's weights; its optimiser only within the same phase."""
        if self.resume is None or self.run is None:
            return
        folder = list_checkpoints(self.run.checkpoints)[-1]
        load_weights(folder, trained_parameters(self.family, 2, "all"))
        if self.resume.phase == plan.number:
            load_optimizer(folder, parameters, optimizer)
        self.resume = None

    def _drawer(self, prior: Posterior | None) -> Callable[[], DrawnBatch]:
        config, tokenizer = self.config, self.family.tokenizer
        prompts = Prompts(tokenizer, config.prompt, [concept.token for concept in self.concepts])
        prior_ids_L = encode_prompts(tokenizer, [config.loss.prior_prompt])[0]
        # Cut-outs are all alike; otherwise the first picture is the whole scene.
        crop = 1 - 1 / len(self.pairs) if config.data.cutouts else config.data.crop

        def draw() -> DrawnBatch:
            return draw_batch(
                self.pairs,
                prompts,
                self.generator,
                size=config.batch_size,
                train_timesteps=len(self.family.alphas_cumprod_T),
                crop=crop,
                flip=config.data.flip,
                union=config.data.union_sampling,
                prior=prior,
                prior_ids_L=prior_ids_L,
            )

        return draw

    def _preview(self, recorder: Recorder) -> Iterator[Event]:
        if self.run is None or not self.accelerator.is_main_process:
            return
        prompts = preview_prompts(self.config.prompt, [c.token for c in self.concepts])
        yield Progress(stage="preview", done=0, total=len(prompts))
        self.family.park_vae(parked=False)
        with recorder.suspended(), autocast(self.family.device, self.precision):
            picture = render_preview(
                self.family,
                prompts,
                seed=self.config.preview.seed,
                steps=self.config.preview.steps,
                guidance=self.config.sampling.guidance,
                resolution=self.resolution,
            )
        self.family.park_vae(parked=True)
        path = self.run.previews / f"step-{self.step:06d}.png"
        save_picture(picture, path)
        relative = str(path.relative_to(self.run.path))
        yield PreviewSaved(
            step=self.step, path=relative, prompt=" | ".join(prompts), seed=self.config.preview.seed
        )

    def _save(
        self, plan: PhasePlan, parameters: dict[str, nn.Parameter], optimizer: optim.Optimizer
    ) -> Iterator[Event]:
        """Write a checkpoint, and the concepts as they are now."""
        if self.run is None:
            return
        generators = {self.generator_name: self.generator.get_state()}
        if self.accelerator.num_processes > 1:
            gathered = gather_object([generators])
            generators = {name: state for one in gathered for name, state in one.items()}
        if not self.accelerator.is_main_process:
            return
        save_concepts(
            self.run.concepts,
            self.family,
            concepts=self.concepts,
            before=self.before,
            base=self.base,
            base_hash=self.base_hash,
            step=self.step,
            recipe=to_table(self.config),
        )
        kept = trained_parameters(self.family, 2, "rows") | parameters
        folder = save_checkpoint(
            self.run.checkpoints,
            step=self.step,
            phase=plan.number,
            parameters=kept,
            optimizer=optimizer,
            generators=generators,
            keep=self.config.checkpoint_keep,
        )
        yield CheckpointSaved(step=self.step, path=str(folder.relative_to(self.run.path)))

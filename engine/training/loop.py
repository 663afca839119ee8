"""The training loop: a generator of events that owns step, random generators and optimiser.

It knows no screen, no terminal and no socket. Equal seeds give equal runs, with or without
previews, in one go or resumed.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from engine.adapters.choose import choose_adapter
from engine.adapters.contract import Adapter
from engine.core.config import TrainConfig
from engine.core.settings import to_table
from engine.families.contract import Family, Geometry, Posterior, Recording
from engine.families.devices import autocast, make_accelerator
from engine.families.tokens import asset_token
from engine.results.concepts import save_concepts
from engine.results.previews import preview_prompts, render_preview, save_picture
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import (
    CheckpointSaved,
    Event,
    Notice,
    Paused,
    PhaseStarted,
    PreviewSaved,
    Progress,
    Resumed,
    RunEnded,
)
from engine.runs.folder import RunDir, cache_dir
from engine.runs.manifest import ConceptEntry
from engine.scenes.scene import Scene, resize_scene
from engine.training.batches import Prompts
from engine.training.checkpoints import (
    CheckpointState,
    list_checkpoints,
    read_state,
    save_checkpoint,
)
from engine.training.phases import phase_of, plan_phases
from engine.training.pictures import stream
from engine.training.preparation import (
    Stopped,
    add_concept_tokens,
    encode_scene,
    prepare_prior_posteriors,
    until_stopped,
)
from engine.training.session import PhaseSession, TrainingData
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
        self.grid = config.loss.attention_grid or family.maps.default_grid(self.resolution)
        self.original = scene.side
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

    def events(self) -> Iterator[Event]:
        """Prepare, then train phase by phase."""
        config, family = self.config, self.family
        layers = family.maps.layers(self.resolution, self.grid)
        resume = self._find_checkpoint()
        add_concept_tokens(family, config, [c.initializer for c in self.concepts])
        adapter = choose_adapter(
            family, config.phase2.train, config.lora, stream(config.seed, "lora")
        )
        yield run_started(
            self.scene,
            config,
            run=self.run.name if self.run else "",
            base=self.base,
            device=str(self.accelerator.device),
            precision=self.precision,
            step=self.step,
            grid=self.grid,
            concepts=self.concepts,
            phases=self.plans,
        )
        try:
            data = yield from self._prepare()
        except Stopped:
            yield RunEnded(step=self.step, outcome="stopped")
            return
        family.codec.park(parked=True)
        try:
            if config.gradient_checkpointing:
                family.checkpoint_activations()
            small = family.codec.size(self.resolution) <= PLAIN_ATTENTION_LATENTS
            plain = small and family.device.type == "cpu"
            with family.maps.recorder(layers, plain_attention=plain) as recorder:
                while self.step < config.total_steps:
                    plan = phase_of(self.step + 1, self.plans)
                    session = PhaseSession(
                        family, adapter, plan, config, self.accelerator, recorder, data,
                        self.generator,
                    )  # fmt: skip
                    if resume is not None:
                        session.restore(resume.folder, same_phase=resume.phase == plan.number)
                        resume = None
                    stopped = yield from self._train_phase(session, adapter, recorder)
                    session.close()
                    if stopped:
                        yield RunEnded(step=self.step, outcome="stopped")
                        return
        finally:
            family.codec.park(parked=False)
        yield RunEnded(step=self.step, outcome="finished")

    def _prepare(self) -> Generator[Event, None, TrainingData]:
        """Encode the pictures and sample the prior; raises Stopped."""
        config, family = self.config, self.family
        encoding = encode_scene(
            family, self.scene, config.data, grid=self.grid, seed=config.seed,
            original=self.original, latent_mask=config.loss.latent_mask,
        )  # fmt: skip
        pictures = yield from until_stopped(encoding, self.commands)
        tokens = [concept.token for concept in self.concepts]
        prompts = Prompts(
            family, config.prompt, tokens, config.loss.prior_prompt, join=config.prompt_join,
            nouns=[c.initializer if config.prompt_nouns else "" for c in self.concepts],
        )  # fmt: skip
        prior: Posterior | None = None
        wanted = config.phase2.steps > 0 or config.optimizer.clip_whole_embedding
        if wanted and config.loss.prior_weight > 0:
            sampling = prepare_prior_posteriors(
                family,
                cache_dir(),
                config.loss,
                base_hash=self.base_hash or family.name,
                guidance=config.sampling.guidance,
                resolution=self.resolution,
                precision=self.precision,
            )
            with self.accelerator.main_process_first():
                prior = yield from until_stopped(sampling, self.commands)
        return TrainingData(pictures, prompts, prior, Geometry.whole(self.resolution))

    def _train_phase(
        self, session: PhaseSession, adapter: Adapter, recorder: Recording
    ) -> Generator[Event, None, bool]:
        """Train to the end of a phase; returns True when told to stop before."""
        config, plan = self.config, session.plan
        yield PhaseStarted(
            phase=plan.number, step=self.step + 1, trained_parameters=session.trained_count
        )
        while self.step < plan.last:
            if (yield from self._obey(session, adapter, recorder)):
                yield from self._save(session, adapter)
                return True
            started = time.perf_counter()
            result = session.take(self.step + 1)
            self.step += 1
            seconds = time.perf_counter() - started
            yield step_done(result, step=self.step, phase=plan.number, seconds=seconds)
            if self._due(self.attention_every) and result.maps_SKQ.numel():
                yield attention_event(
                    result, step=self.step, grid=self.grid, concepts=self.concepts
                )
            if self._due(self.preview_every):
                yield from self._preview(recorder)
            if self._due(config.checkpoint_every) or self.step == plan.last:
                yield from self._save(session, adapter)
        yield Notice(level="info", message=f"phase {plan.number}: {session.clipping()}")
        return False

    def _obey(
        self, session: PhaseSession, adapter: Adapter, recorder: Recording
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
                    yield from self._save(session, adapter)
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

    def _find_checkpoint(self) -> CheckpointState | None:
        """The newest checkpoint; step and random generator go on from it."""
        found = list_checkpoints(self.run.checkpoints) if self.run else []
        if not found:
            return None
        state = read_state(found[-1])
        self.step = state.step
        self.generator.set_state(state.generators[self.generator_name])
        return state

    def _preview(self, recorder: Recording) -> Iterator[Event]:
        if self.run is None or not self.accelerator.is_main_process:
            return
        prompts = preview_prompts(self.config.prompt, [c.token for c in self.concepts])
        yield Progress(stage="preview", done=0, total=len(prompts))
        self.family.codec.park(parked=False)
        with recorder.suspended(), autocast(self.family.device, self.precision):
            picture = render_preview(
                self.family,
                prompts,
                seed=self.config.preview.seed,
                steps=self.config.preview.steps,
                guidance=self.config.sampling.guidance,
                resolution=self.resolution,
            )
        self.family.codec.park(parked=True)
        path = self.run.previews / f"step-{self.step:06d}.png"
        save_picture(picture, path)
        relative = str(path.relative_to(self.run.path))
        yield PreviewSaved(
            step=self.step, path=relative, prompt=" | ".join(prompts), seed=self.config.preview.seed
        )

    def _save(self, session: PhaseSession, adapter: Adapter) -> Iterator[Event]:
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
            adapter,
            concepts=self.concepts,
            base=self.base,
            base_hash=self.base_hash,
            step=self.step,
            recipe=to_table(self.config),
        )
        folder = save_checkpoint(
            self.run.checkpoints,
            step=self.step,
            phase=session.plan.number,
            parameters=session.kept,
            optimizer=session.optimizer,
            generators=generators,
            keep=self.config.checkpoint_keep,
        )
        yield CheckpointSaved(step=self.step, path=str(folder.relative_to(self.run.path)))

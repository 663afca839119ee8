"""The training loop: a generator of events that owns step, random generators and optimiser.

It knows no screen, no terminal and no socket. Equal seeds give equal runs, with or without
previews, in one go or resumed.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from engine.adapters.choose import choose_adapter
from engine.adapters.contract import Adapter
from engine.core.config import TrainConfig
from engine.core.settings import to_table
from engine.families.contract import Family, Geometry, Posterior, Recording
from engine.families.devices import half_type, make_accelerator
from engine.families.tokens import asset_token
from engine.results.concepts import concept_rows, save_concepts
from engine.runs.commands import CommandQueue
from engine.runs.events import (
    Event,
    Notice,
    Paused,
    PhaseStarted,
    Resumed,
    RunEnded,
    SettingChanged,
)
from engine.runs.folder import RunDir, cache_dir
from engine.runs.manifest import ConceptEntry, background_of, read_manifest, write_manifest
from engine.scenes.scene import Scene, resize_scene, with_rims
from engine.training.batches import Prompts
from engine.training.checkpoints import CheckpointState, gather_checkpoint, weight_names
from engine.training.phases import phase_of, phase_parameters, plan_phases
from engine.training.pictures import stream
from engine.training.preparation import (
    Stopped,
    add_concept_tokens,
    encode_scene,
    prepare_prior_posteriors,
    until_stopped,
)
from engine.training.preview import draw_preview
from engine.training.saving import Saver
from engine.training.session import PhaseSession, TrainingData
from engine.training.start_words import find_words, nouns_of, with_words, word_notice
from engine.training.step_events import attention_event, run_started, step_done

GENERATOR = "steps0"
"""Name of the samples' generator in checkpoints."""
Shared = TypeVar("Shared")
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
            str(family.device), config.precision, config.gradient_accumulation
        )
    trainer = _Trainer(family, scene, config, tuple(initializers), accelerator, run)
    trainer.base, trainer.base_hash = base or family.name, base_hash
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
        run: RunDir | None,
    ) -> None:
        self.family, self.config, self.accelerator, self.run = family, config, accelerator, run
        self.saver = Saver(
            run,
            every=config.checkpoint_every,
            minutes=config.checkpoint_minutes,
            keep=config.checkpoint_keep,
            keep_after=config.checkpoint_keep_after,
            moment_bytes=config.optimizer.moment_bytes,
            first=accelerator.is_main_process,
        )
        self.base = self.base_hash = ""
        self.commands = CommandQueue()
        self.resolution = config.resolution or family.resolution
        self.grid = config.loss.attention_grid or family.maps.default_grid(self.resolution)
        self.original = scene.side
        resized = resize_scene(scene, self.resolution)
        self.scene = with_rims(resized, config.data.mask_rim, self.grid)
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
        # Processes of one run draw the same samples and take their share of them.
        self.generator = stream(config.seed, "steps/0")
        self.step = 0

    def events(self) -> Iterator[Event]:
        """Prepare, then train phase by phase."""
        config, family = self.config, self.family
        layers = family.maps.layers(self.resolution, self.grid)
        resume, damaged = self._find_checkpoint()
        wordless = any(not concept.initializer for concept in self.concepts)
        if config.initializer_search and wordless and resume is None:
            try:
                yield from self._find_words()
            except Stopped:
                yield RunEnded(step=self.step, outcome="stopped")
                return
        add_concept_tokens(
            family, config, [c.initializer for c in self.concepts],
            background=background_of(self.concepts) is not None,
        )  # fmt: skip
        moved = config.phase2.train if config.phase2.steps else "none"
        adapter = choose_adapter(family, moved, config.lora, stream(config.seed, "lora"))
        if family.device.type != "cpu" and self.precision != "fp32":
            held = weight_names(resume.folder) if resume and resume.phase == 2 else set[str]()
            adapter.halve(family, half_type(self.precision), sorted(held))
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
        yield from damaged
        largest = phase_parameters(family, adapter, 2 if config.phase2.steps else 1)
        self.saver.require_room(largest.values())
        try:
            data = yield from self._prepare()
        except Stopped:
            yield RunEnded(step=self.step, outcome="stopped")
            return
        with _without_autoencoder(family):
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
                        session.restore(resume)
                        resume = None
                    stopped = yield from self._train_phase(session, adapter, recorder)
                    session.close()
                    if stopped:
                        yield self.saver.stopped(self.step)
                        return
        yield RunEnded(step=self.step, outcome="finished")
        self.saver.tidy()

    def _find_words(self) -> Generator[Event, None, None]:
        """Give the tokens without a word of their own one; raises Stopped."""
        config, family = self.config, self.family
        search = find_words(
            family, self.scene, nouns_of(config.initializer_nouns), grid=self.grid,
            opening=config.prompt, seed=config.seed, precision=self.precision,
            latent_mask=config.loss.latent_mask,
        )  # fmt: skip
        found = yield from until_stopped(search, self.commands)
        # Arithmetic that differs between devices must not give processes different tokens.
        found = self._agreed(found)
        self.concepts = with_words(self.concepts, found)
        if self.run is not None and self.accelerator.is_main_process:
            # So that drawing, the lists of runs and a start anew know them.
            manifest = read_manifest(self.run)
            write_manifest(self.run, replace(manifest, concepts=self.concepts))
        for concept, words in zip(self.concepts, found, strict=True):
            yield Notice(level="info", message=word_notice(concept, words))

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
            family, config.prompt, tokens, config.loss.prior_prompt, grammar=config.grammar,
            nouns=[concept.initializer for concept in self.concepts],
            background=background_of(self.concepts),
        )  # fmt: skip
        prior: Posterior | None = None
        if config.needs_prior:
            sampling = prepare_prior_posteriors(
                family,
                cache_dir(),
                config,
                base_hash=self.base_hash or family.name,
                precision=self.precision,
                stopped=lambda: self.commands.asked("stop"),
            )
            with self.accelerator.main_process_first():
                prior = yield from until_stopped(sampling, self.commands)
        return TrainingData(pictures, prompts, prior, Geometry.whole(self.resolution))

    def _train_phase(
        self, session: PhaseSession, adapter: Adapter, recorder: Recording
    ) -> Generator[Event, None, bool]:
        """Train to the end of a phase; returns True when told to stop before."""
        plan = session.plan
        yield PhaseStarted(
            phase=plan.number, step=self.step + 1, trained_parameters=session.trained_count
        )
        self.saver.begin_phase()
        while self.step < plan.last:
            if (yield from self._obey(session, adapter, recorder)):
                yield from self._save(session, adapter)
                yield from self.saver.wait()
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
            last = self.step == self.config.total_steps
            if self._due(self.preview_every) or (last and self.preview_every > 0):
                yield from self._preview(recorder)
            if self.saver.due(self.step, plan.number) or self.step == plan.last:
                yield from self._save(session, adapter)
        # The next phase changes other weights, and a finished run needs its concepts.
        yield from self.saver.wait()
        if self._agreed(self.saver.blocked) and (yield from self._obey(session, adapter, recorder)):
            return True
        yield Notice(level="info", message=f"phase {plan.number}: {session.clipping()}")
        return False

    def _obey(
        self, session: PhaseSession, adapter: Adapter, recorder: Recording
    ) -> Generator[Event, None, bool]:
        """Carry out what was asked since the last step; returns True for `stop`.

        Waits while a save waits for room on the disk.
        """
        pending, paused, full = self._agreed(self.commands.poll()), False, False
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
                elif command.word == "set":
                    if command.key == "preview.every":
                        self.preview_every = command.value
                    else:
                        self.attention_every = command.value
                    yield SettingChanged(key=command.key, value=command.value)
            yield from self.saver.news()
            blocked = self._agreed(self.saver.blocked)
            if blocked and not full:
                yield Notice(level="warning", message=blocked.message, remedy=blocked.remedy)
            if (blocked is not None) != full and not paused:
                yield Paused(step=self.step) if blocked else Resumed(step=self.step)
            full = blocked is not None
            if not paused and not full:
                return False
            pending = self._agreed(self.commands.wait(0.5))
            if full and self.saver.worth_a_try():
                yield from self._save(session, adapter)

    def _agreed(self, value: Shared) -> Shared:
        """The main process's value, in every process of a distributed run."""
        if self.accelerator.num_processes == 1:
            return value
        return broadcast_object_list([value])[0]

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _find_checkpoint(self) -> tuple[CheckpointState | None, list[Notice]]:
        """Where step and samples go on; what is to be said of damaged checkpoints."""
        # The first process moves a damaged one aside; the others then find what it found.
        with self.accelerator.main_process_first():
            state, damaged = self.saver.newest()
        if state is not None:
            self.step = state.step
            self.generator.set_state(state.generators[GENERATOR])
        return state, damaged

    def _preview(self, recorder: Recording) -> Iterator[Event]:
        if self.run is None or not self.accelerator.is_main_process:
            return
        yield from draw_preview(
            self.family,
            self.config,
            self.run,
            recorder,
            names=[self.config.grammar.name(c.token, c.initializer) for c in self.concepts],
            background=background_of(self.concepts),
            step=self.step,
            precision=self.precision,
            resolution=self.resolution,
        )

    def _save(self, session: PhaseSession, adapter: Adapter) -> Iterator[Event]:
        """Write a checkpoint, and the concepts as they are now."""
        run, step, rows = self.run, self.step, concept_rows(self.family)
        if run is None or not self.accelerator.is_main_process:
            return

        def write_concepts(weights: Mapping[str, torch.Tensor]) -> None:
            save_concepts(
                run.concepts,
                rows,
                lambda folder: adapter.write(folder, weights),
                concepts=self.concepts,
                base=self.base,
                base_hash=self.base_hash,
                step=step,
                recipe=to_table(self.config),
            )

        checkpoint = gather_checkpoint(
            step=step,
            phase=session.plan.number,
            parameters=session.kept,
            optimizer=session.optimizer,
            generators={GENERATOR: self.generator.get_state()} | session.scaling,
        )
        last = step == self.config.total_steps
        size = 2 * session.trained_count
        self.saver.save(checkpoint, write_concepts, concept_bytes=size, last=last)
        yield from self.saver.news()


@contextmanager
def _without_autoencoder(family: Family) -> Iterator[None]:
    """Within the block the autoencoder is parked; steps do not use it."""
    family.codec.park(parked=True)
    try:
        yield
    except BaseException:
        # The device may be full, and then it is not its way back that must be heard of.
        with suppress(RuntimeError):
            family.codec.park(parked=False)
        raise
    family.codec.park(parked=False)

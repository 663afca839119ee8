"""Writes a run's concepts for other programs: what to write, in which order, and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import torch

from engine.core.config import TrainConfig
from engine.core.errors import BasError, UserError
from engine.core.settings import build_config
from engine.families.devices import choose_device
from engine.families.loading import load_for
from engine.families.single_file import END, clip_tokenizer
from engine.files.atomic import new_folder
from engine.files.pending import save_pending
from engine.files.weights_io import save_tensors
from engine.models.kinds import BUILT_IN
from engine.models.resolve import Report
from engine.results.concepts import load_rows
from engine.results.exports.agreement import compare, fits_in_seconds
from engine.results.exports.base_facts import base_facts
from engine.results.exports.change import Change, factors_of
from engine.results.exports.checkpoint import checkpoint_metadata, checkpoint_tensors
from engine.results.exports.learned import Learned, read_learned, weight_changes
from engine.results.exports.loaded import Parts, parts_of
from engine.results.exports.lora_names import UNET, kohya_rest, kohya_tensors, peft_tensors
from engine.results.exports.pack import ENDING, write_pack
from engine.results.exports.pack_contents import pack_facts, pack_tensors
from engine.results.exports.pipeline_folder import write_pipeline
from engine.results.exports.readme import Story, write_readme
from engine.results.exports.small_files import (
    ARCHITECTURES,
    bundled,
    embedding_tensors,
    lora_metadata,
    write_lora,
)
from engine.results.exports.trigger_words import stem_of, trigger_words
from engine.runs.events import Notice, Progress
from engine.runs.exchange_events import AgreementMeasured, ExportEnded, ExportSaved
from engine.runs.export_targets import (
    DEFAULT_RANK,
    HEAD,
    README,
    TARGETS,
    WITH_LORA,
    Target,
)
from engine.runs.folder import RunDir


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to write."""

    run: RunDir
    targets: tuple[Target, ...]
    out: Path
    """Folder in which each export gets a folder of its own."""
    name: str = ""
    """What the files are called; empty: after the run."""
    rank: int | None = None
    """Of a LoRA made from a full run; 0: the smallest good one; None: `DEFAULT_RANK`."""
    half: bool = True
    """Whole models in half precision, the usual one; else as they were computed, to the bit."""
    small: bool = False
    """diffusers: without the pipeline folder."""
    with_picture: bool = False
    """Packs: the photo (small) and its masks besides."""
    licence: str = ""
    pure: bool = False
    """LoRA files with matrices only, for readers that refuse norms and biases."""
    check: bool | None = None
    """Draw with the run and with its LoRA; None: where that takes seconds."""
    device: str = "auto"
    what_fits: bool = False
    """Say which targets this run cannot give, and leave them out; else they are an error."""


def export_run(request: ExportRequest, report: Report) -> ExportEnded:
    """Write everything asked for; each export appears whole or not at all.

    Raises UserError for what cannot be written, before anything is.
    """
    work = _Export(request, report)
    targets = work.check()
    for target in targets:
        work.write(target)
    work.measure(targets)
    return ExportEnded(
        outcome="finished",
        folder=str(request.out.resolve()),
        names=work.names,
        words=work.words,
    )


class _Export:
    def __init__(self, request: ExportRequest, report: Report) -> None:
        self._request, self._report = request, report
        self._learned: Learned = read_learned(request.run)
        manifest = self._learned.manifest
        if not request.targets or set(request.targets) - set(TARGETS):
            raise UserError("say for which program", f"--to {', '.join(TARGETS)} or all")
        self._config: TrainConfig = build_config(manifest.settings)
        self._found, self._base = base_facts(manifest.base, self._config, report)
        if self._learned.base_hash not in ("", self._base.sha256):
            raise UserError(
                f"{manifest.base} has other weights than when {request.run.name} was trained",
                "put the old base model back",
            )
        self._stem = stem_of(request.run.name, request.name)
        self._whole = self._found.path.resolve().is_relative_to(request.run.path.resolve())
        """Whether the run was imported as a whole model, which it keeps."""
        if self._whole:
            self._base = dataclasses.replace(self._base, name=f"{self._stem} itself")
        self.names = tuple(concept.name for concept in self._learned.concepts)
        """The concepts' own names."""
        tokenizer = clip_tokenizer(END)
        self.words = trigger_words(
            self._stem,
            self.names,
            lambda word: len(tokenizer(word, add_special_tokens=False).input_ids) == 1,
        )
        """Their names in other programs."""
        self._nouns = tuple(concept.initializer for concept in self._learned.concepts)

    def check(self) -> tuple[Target, ...]:
        """The targets that will be written; refuses what cannot be, before anything is."""
        problems: list[tuple[Target, UserError | None]] = [
            (target, self._problem(target)) for target in self._request.targets
        ]
        targets: tuple[Target, ...] = tuple(target for target, why in problems if why is None)
        for target, problem in problems:
            if problem is None:
                continue
            if not self._request.what_fits or not targets:
                raise problem
            self._warn(f"--to {target} is left out: {problem.message}", problem.remedy)
        if self._base.kind == "other" and set(targets) & {"a1111", "comfyui"}:
            self._warn(
                f"A1111 and ComfyUI cannot open the base model {self._base.name} itself",
                "train on a Stable Diffusion to draw there",
            )
        if self._whole and "pack" in targets:
            self._warn(
                f"{self._stem} was imported as a whole model: the pack holds its words alone",
                "give what --to diffusers or checkpoint writes along with it, for --base",
            )
        for target in targets:
            folder = self._folder(target)
            readme = folder / README
            if folder.exists() and not (
                readme.is_file() and readme.read_text(errors="replace").startswith(HEAD)
            ):
                raise UserError(
                    f"{folder} is in the way, and no export", "choose another -o or --name"
                )
        self._tell_unused(targets)
        return targets

    def _problem(self, target: Target) -> UserError | None:
        """Why this run cannot be written so; None where it can."""
        only_small = target == "diffusers" and self._request.small
        if self._whole and (target in ("a1111", "comfyui") or only_small):
            return UserError(
                f"{self._request.run.name} was imported as a whole model: its change is not known",
                "import it with --base, or export --to checkpoint, diffusers or pack",
            )
        if target == "checkpoint" and self._base.kind == "other":
            return UserError(
                f"{self._base.name} is no Stable Diffusion, which alone has single-file "
                "checkpoints",
                "use --to diffusers or pack",
            )
        if target == "diffusers" and not only_small and self._found.kind not in BUILT_IN:
            return UserError(
                f"{self._base.name} is of a family that has no diffusers pipeline",
                "use --to pack, or --small for the small files",
            )
        return None

    def _tell_unused(self, targets: Sequence[Target]) -> None:
        """Name what was asked for and changes nothing in these exports."""
        request, cuts = self._request, not set(targets).isdisjoint((*WITH_LORA, "pack"))
        if request.rank is not None and cuts and self._learned.lora_file is not None:
            self._warn("--rank changes nothing: a LoRA goes out as it was trained", "")
        for word, given, where in (
            ("--small", request.small, ("diffusers",)),
            ("--with-picture", request.with_picture, ("pack",)),
            ("--pure", request.pure, WITH_LORA),
            ("--precision fp32", not request.half, ("diffusers", "checkpoint")),
        ):
            if given and set(targets).isdisjoint(where):
                self._warn(f"{word} changes nothing: it is for --to {' or '.join(where)}", "")

    def _warn(self, message: str, remedy: str) -> None:
        self._report(Notice(level="warning", message=message, remedy=remedy))

    def write(self, target: Target) -> None:
        """Write one export."""
        self._report(Progress(stage="save", done=0, total=0, label=TARGETS[target]))
        try:
            with new_folder(self._folder(target)) as folder:
                {
                    "a1111": self._a1111,
                    "comfyui": self._comfyui,
                    "diffusers": self._diffusers,
                    "checkpoint": self._checkpoint,
                    "pack": self._pack,
                }[target](folder)
                text = write_readme(target, self._story(target))
                (folder / README).write_text(text, encoding="utf-8")
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        except OSError as error:
            raise BasError(
                f"cannot write {self._folder(target)} ({error.strerror or error})",
                "choose another folder with -o, or make room",
            ) from error
        self._report(
            ExportSaved(target=target, folder=str(self._folder(target).resolve()), bytes=size)
        )

    def measure(self, targets: Sequence[Target]) -> None:
        """Draw with the run and with what was exported, where that is wanted."""
        request, base = self._request, self._base
        if not set(targets) & set(WITH_LORA) or not self._change.layers:
            return
        device = choose_device(request.device)
        wanted = request.check
        if wanted is None:
            wanted = fits_in_seconds(device, base.resolution)
        if not wanted:
            self._report(
                Notice(
                    level="info",
                    message="whether the pictures agree was not measured",
                    remedy="--check draws four with the run and with its LoRA",
                )
            )
            return
        sheet = request.out / f"{self._stem}-check.png"
        psnr = compare(self._learned, self._change, self._config, device, sheet, self._report)
        self._report(AgreementMeasured(psnr=tuple(psnr), sheet=str(sheet.resolve())))

    def _story(self, target: Target) -> Story:
        cut = target in WITH_LORA or (target == "pack" and self._request.rank is not None)
        return Story(
            stem=self._stem,
            concepts=self.names,
            words=self.words,
            opening=self._config.prompt,
            nouns=self._nouns,
            grammar=self._learned.manifest.grammar,
            base=self._base,
            change=self._change.sentence if cut else "whole, as it was trained",
            rest=cut and bool(self._change.rest),
            whole=self._whole,
            licence=self._request.licence,
            dtype="float16" if self._request.half else "float32",
            steps=self._config.sampling.steps,
            guidance=self._config.sampling.guidance,
            pipeline=not self._request.small,
        )

    @cached_property
    def _change(self) -> Change:
        """The run's change as a LoRA; made once, for every target."""
        rank = DEFAULT_RANK if self._request.rank is None else self._request.rank
        return factors_of(self._learned, rank, self._report, pure=self._request.pure)

    def _open_whole(self) -> Parts:
        """The base model with the concepts in it, to be written once.

        Its weights stay in their files, and what was learned in the run's: each weight is read
        and added up as it is written.
        """
        loaded = load_for(
            self._learned.manifest.base,
            self._config,
            device=torch.device("cpu"),
            precision="fp32",
            report=self._report,
            mapped=True,
        )
        load_rows(self._request.run.concepts, loaded.family, base_hash=loaded.base_hash)
        return parts_of(loaded.family, weight_changes(self._learned), once=True)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float16 if self._request.half else torch.float32

    def _folder(self, target: Target) -> Path:
        return self._request.out / f"{self._stem}-{target}"

    def _rows(self, index: int) -> tuple[torch.Tensor, ...]:
        """The vectors of one concept for each text encoder, (1, width) each."""
        return tuple(rows[index, None].float() for rows in self._learned.placeholder_rows)

    def _embeddings(self, folder: Path) -> None:
        for index, word in enumerate(self.words):
            save_tensors(folder / f"{word}.safetensors", embedding_tensors(self._rows(index)))

    def _lora(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        grammar = self._learned.manifest.grammar
        words = ", ".join(map(grammar.anchored, self.words, self._nouns))
        metadata = lora_metadata(
            self._base,
            self._change.layers,
            title=self._stem,
            comment=f"Break-A-Scene: one photo, {len(self.words)} things; needs {words}",
            trigger_phrase=words,
            created=self._learned.manifest.created,
        )
        write_lora(path, tensors, metadata)

    def _kohya(self) -> dict[str, torch.Tensor]:
        change, base = self._change, self._base
        return kohya_tensors(change.layers, base.kind, base.shape) | kohya_rest(
            change.rest, change.layers, base.kind, base.shape
        )

    def _a1111(self, folder: Path) -> None:
        self._embeddings(folder / "embeddings")
        if self._change.layers:
            tensors = self._kohya()
            self._lora(folder / "models" / "Lora" / f"{self._stem}.safetensors", tensors)
            rows = {word: self._rows(index) for index, word in enumerate(self.words)}
            self._lora(
                folder / "one-file" / f"{self._stem}.safetensors", dict(bundled(tensors, rows))
            )

    def _comfyui(self, folder: Path) -> None:
        self._embeddings(folder / "models" / "embeddings")
        if self._change.layers:
            self._lora(folder / "models" / "loras" / f"{self._stem}.safetensors", self._kohya())

    def _diffusers(self, folder: Path) -> None:
        if not self._whole:
            self._embeddings(folder)
        if self._change.layers:
            self._lora(folder / f"{self._stem}_lora.safetensors", peft_tensors(self._change.layers))
        if self._change.rest:
            unet = {
                name.removeprefix(UNET): change
                for name, change in self._change.rest.items()
                if name.startswith(UNET)
            }
            save_tensors(folder / f"{self._stem}_rest.safetensors", unet)
        if not self._request.small:
            write_pipeline(
                folder / "pipeline",
                self._open_whole(),
                self.names,
                self._dtype,
                version("diffusers"),
            )

    def _checkpoint(self, folder: Path) -> None:
        self._embeddings(folder / "embeddings")
        architecture = ARCHITECTURES[self._base.kind]
        if self._base.kind == "sd2" and self._base.v_prediction:
            architecture = "stable-diffusion-v2-768-v"
        save_pending(
            folder / f"{self._stem}.safetensors",
            checkpoint_tensors(self._open_whole(), self._base, self._dtype),
            checkpoint_metadata(self._base, architecture, self._stem),
        )

    def _pack(self, folder: Path) -> None:
        cut = self._change if self._request.rank is not None else None
        facts = pack_facts(
            self._learned, self._base, self._stem, self._request.licence, cut.rank if cut else 0
        )
        tensors = pack_tensors(
            self._learned, cut.layers if cut else None, with_picture=self._request.with_picture
        )
        write_pack(folder / f"{self._stem}{ENDING}", facts, tensors)

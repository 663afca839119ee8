"""The `README.txt` beside each export: what goes where, and what to write."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.prompt_grammar import BACKGROUND_NAMES, Grammar
from engine.models.names import BASE_MODELS, HUB_ID
from engine.results.exports.base_facts import TITLES, BaseFacts
from engine.runs.export_targets import HEAD, TARGETS, Target

WIDTH = 88
EMBEDDED = 'a folder in bas: python -c "import engine.pocket; print(engine.pocket.MODEL_DIR)"'


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a README tells."""

    stem: str
    concepts: tuple[str, ...]
    """The concepts' own names."""
    words: tuple[str, ...]
    """Their words in other programs."""
    opening: str
    """The training prompt's words before the things."""
    nouns: tuple[str, ...]
    """The start word of each concept; empty texts where there was none."""
    grammar: Grammar
    """How prompts speak of the concepts, as in training."""
    base: BaseFacts
    change: str
    """How the change is kept, in one sentence; empty where nothing but the words was trained."""
    rest: bool
    """Whether norms and biases are kept beside the LoRA."""
    licence: str
    dtype: str
    """Of whole models, as torch calls it."""
    steps: int
    guidance: float
    """How `bas gen` draws."""
    pipeline: bool = True
    """diffusers: whether the folder is there beside the small files."""
    whole: bool = False
    """Whether the base model is the run's own, which nobody else has."""


def write_readme(target: Target, story: Story) -> str:
    """The text of a target's README."""
    body = {
        "a1111": _a1111,
        "comfyui": _comfyui,
        "diffusers": _diffusers,
        "checkpoint": _checkpoint,
        "pack": _pack,
    }[target](story)
    return "\n\n".join([f"{HEAD}: {story.stem} - {TARGETS[target]}", *body, *_facts(story)]) + "\n"


def _a1111(story: Story) -> list[str]:
    lora = f"<lora:{story.stem}:1> " if story.change else ""
    files = "`embeddings`" if not story.change else "`models` and `embeddings`"
    steps = [
        _wrap(f"1. Copy {files} into the program's folder, where folders of these names are."),
        "2. Prompt:\n\n     " + lora + _things(story, story.words),
    ]
    if story.change:
        steps.append(
            _wrap(
                f"Or, in A1111 alone: copy one-file/{story.stem}.safetensors into models/Lora and "
                "nothing else; the prompt is the same. Forge and reForge read no words from it."
            )
        )
    rename = "The file of a thing's word is its word: rename one, and the other changes."
    return [*steps, *_words(story, rename), *_strength(story, "the number after the name")]


def _comfyui(story: Story) -> list[str]:
    words = [f"embedding:{word}" for word in story.words]
    steps = [_wrap("1. Copy `models` into the folder of ComfyUI; press R in the browser.")]
    if story.change:
        steps.append(
            _wrap(
                f"2. Load LoRA ({story.stem}.safetensors) between Load Checkpoint and everything "
                "else, for the model and for CLIP, both strengths 1."
            )
        )
    steps.append(
        f"{len(steps) + 1}. CLIP Text Encode, with a blank before each word:\n\n     "
        + _things(story, words)
    )
    weights = "Weights go in brackets: (embedding:WORD:1.2)."
    return [*steps, *_words(story, weights), *_strength(story, "both strengths of Load LoRA")]


def _diffusers(story: Story) -> list[str]:
    tokens = [f"<{name}>" for name in story.concepts]
    pipeline = "StableDiffusionXLPipeline" if story.base.kind == "sdxl" else "DiffusionPipeline"
    prompt = _things(story, tokens)
    draw = [
        "picture = pipe(",
        f'    "{prompt}", num_inference_steps={story.steps},',
        f"    guidance_scale={story.guidance:g}, generator=torch.Generator().manual_seed(0),",
        ").images[0]",
        'picture.save("picture.png")',
    ]
    whole = [
        "import torch",
        f"from diffusers import {pipeline}",
        f'pipe = {pipeline}.from_pretrained("pipeline")',
        f'# On a GPU: from_pretrained("pipeline", torch_dtype=torch.{story.dtype}).to("cuda")',
        *draw,
    ]
    small = [
        f"pipe = {pipeline}.from_pretrained(BASE)  # {story.base.name}, see below",
        *(
            f'pipe.load_textual_inversion("{word}.safetensors", token="{token}")'
            for word, token in zip(story.words, tokens, strict=True)
            if story.base.kind != "sdxl"
        ),
    ]
    if story.base.kind == "sdxl":
        small.insert(0, "from safetensors.torch import load_file")
        for word, token in zip(story.words, tokens, strict=True):
            small.append(f'rows = load_file("{word}.safetensors")')
            for key, end in (("clip_l", ""), ("clip_g", "_2")):
                small.append(
                    f'pipe.load_textual_inversion(rows["{key}"], token="{token}", '
                    f"text_encoder=pipe.text_encoder{end}, tokenizer=pipe.tokenizer{end})"
                )
    if story.rest:
        small[:0] = ["from safetensors.torch import load_file"] * (story.base.kind != "sdxl")
        small.append(f'for name, change in load_file("{story.stem}_rest.safetensors").items():')
        small.append("    pipe.unet.get_parameter(name).data += change  # before the LoRA")
    if story.change:
        small.append(f'pipe.load_lora_weights("{story.stem}_lora.safetensors")  # pip install peft')
    steps: list[str] = []
    if story.pipeline:
        steps.append(
            "The whole pipeline, as it was learned (<assetK> and <name> are the same), draws with "
            f"seed 0\nwhat bas gen --seed 0 draws:\n\n{_code(whole)}"
        )
    if not story.whole:
        small = [*whole[:2], *small, *draw]
        steps.append(
            f"{'Or the' if steps else 'The'} small files on the base model:\n\n{_code(small)}"
        )
    return steps


def _checkpoint(story: Story) -> list[str]:
    words = [f"embedding:{word}" for word in story.words]
    return [
        _wrap(
            f"1. Copy {story.stem}.safetensors to the program's checkpoints (models/"
            "Stable-diffusion in A1111 and Forge, models/checkpoints in ComfyUI) and the files of "
            "`embeddings` to its embeddings. No LoRA is needed: the change is in the checkpoint."
        ),
        "2. Prompt:\n\n     A1111, Forge   "
        + _things(story, story.words)
        + "\n     ComfyUI        "
        + _things(story, words),
        *_words(story, ""),
    ]


def _pack(story: Story) -> list[str]:
    tokens = [f"<{name}>" for name in story.concepts]
    return [
        f'     bas import {story.stem}.bas.safetensors\n     bas gen "{_things(story, tokens)}"',
        _wrap("bas import FILE --look says what is in it and makes nothing."),
    ]


def _facts(story: Story) -> list[str]:
    base = story.base
    known = f"{base.name} ({TITLES[base.kind]}, {base.resolution} px)"
    # Only a repository: a path is nobody else's business.
    shown = base.source != base.name and HUB_ID.fullmatch(base.source)
    source = f" from {base.source}" if shown else ""
    lines = [
        f"Base model  {known}{source}",
        *([f"            {EMBEDDED}"] if _is_embedded(base) else []),
        f"            sha256 {base.sha256}",
        *([f"            licence {base.licence}"] if base.licence else []),
        *([f"Change      {story.change}"] if story.change else []),
        f"Drawing     bas gen takes DDIM, {story.steps} steps, guidance (CFG) {story.guidance:g}",
        *([f"Licence     {story.licence}"] if story.licence else []),
    ]
    advice = f'Prompts work best as they were trained: "{story.opening}" before the things.'
    other = (
        "What was learned fits this base model. Others of its family may draw it, less alike."
        if base.kind != "other"
        else "No program but bas and diffusers knows this base model; files for others are written "
        "as their formats want them."
    )
    return [_wrap(advice), _wrap(other), "\n".join(lines)]


def _is_embedded(base: BaseFacts) -> bool:
    return base.source in BASE_MODELS and BASE_MODELS[base.source].folder is not None


def _strength(story: Story, where: str) -> list[str]:
    if not story.change:
        return []
    return [
        _wrap(
            f"Strength 1 ({where}) is what was learned; lower it to let the base model speak. The "
            "words alone, without the LoRA, draw other things."
        )
    ]


def _words(story: Story, more: str) -> list[str]:
    width = max(map(len, story.concepts))
    rows = [
        f"     {name:{width}}  {story.grammar.anchored(word, noun)}"
        for name, word, noun in zip(story.concepts, story.words, story.nouns, strict=True)
    ]
    if story.grammar.article:
        more = f"Write an article before each word, as in training. {more}".strip()
    if story.grammar.nouns and any(story.nouns):
        more = f"Each word is followed by its noun, as in training. {more}".strip()
    return ["Words:\n\n" + "\n".join(rows) + (f"\n\n{_wrap(more)}" if more else "")]


def _things(story: Story, words: Sequence[str]) -> str:
    grammar = story.grammar
    things = [
        grammar.name(word, noun)
        for word, noun, name in zip(words, story.nouns, story.concepts, strict=True)
        if name not in BACKGROUND_NAMES
    ]
    return f"{story.opening} {grammar.together(things[:2])} in snow".strip()


def _code(lines: Sequence[str]) -> str:
    return "\n".join(f"     {line}" for line in lines)


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)

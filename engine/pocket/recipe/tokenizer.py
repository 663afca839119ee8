"""The tokenizer: a CLIPTokenizer in which every word of the captions is one token."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from engine.pocket import backgrounds
from engine.pocket.recipe import captions

MAX_TOKENS = 32
START, END = "<|startoftext|>", "<|endoftext|>"

# How CLIPTokenizer cuts text into words before byte pairs are merged.
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def corpus(names: Iterable[str]) -> list[str]:
    """Every word that captions of these objects can hold."""
    lines = [captions.noun_phrase(name) for name in names]
    for kind in backgrounds.kinds():
        lines.extend(backgrounds.phrases(kind))
    lines.extend(captions.OPENINGS)
    for openings in captions.STYLE_OPENINGS.values():
        lines.extend(openings)
    lines.extend(["a , b and c", "an"])
    return lines


def train(lines: Sequence[str]) -> CLIPTokenizer:
    """Merge byte pairs until every word of ``lines`` is a single token.

    Words outside of ``lines`` fall into smaller pieces; every byte has a token.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # Merges stop only when no pair is left: the limit is never reached.
    trainer = trainers.BpeTrainer(
        vocab_size=100_000,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(sorted(lines), trainer)
    vocabulary = dict(learner.get_vocab(with_added_tokens=False))
    merges = _merges(learner)
    for byte in sorted(alphabet):
        for piece in (byte, byte + "</w>"):
            vocabulary.setdefault(piece, len(vocabulary))
    for special in (START, END):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def _merges(learner: Tokenizer) -> list[tuple[str, str]]:
    pairs = json.loads(learner.to_str())["model"]["merges"]
    return [(pair[0], pair[1]) for pair in pairs]


def last_tokens(
    tokenizer: CLIPTokenizer, caption: str, names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Token ids of a caption (padded to MAX_TOKENS) and each name's last token's position.

    Positions are 0 where the caption was cut before the name.
    """
    ids = tokenizer(caption, padding="max_length", truncation=True, max_length=MAX_TOKENS).input_ids
    positions = [0] * len(names)
    taken: set[int] = set()
    # Longest names first: the bear in "a polar bear and a bear" is the one that stands alone.
    for index in sorted(range(len(names)), key=lambda index: -len(names[index])):
        wanted = tokenizer(names[index], add_special_tokens=False).input_ids
        for at in range(1, len(ids) - len(wanted) + 1):
            span = range(at, at + len(wanted))
            if [ids[place] for place in span] == list(wanted) and taken.isdisjoint(span):
                positions[index] = at + len(wanted) - 1
                taken.update(span)
                break
    return list(ids), positions


def load(folder: Path) -> CLIPTokenizer:
    """The tokenizer that ``train`` made, from the folder it was saved to."""
    return CLIPTokenizer.from_pretrained(folder)

"""Placeholder tokens: one new row of the text encoder's input embedding per concept.

Shape legend: B batch, L prompt positions, N placeholder tokens, M other trained words, V
vocabulary, D embedding width, K placeholder slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from engine.core.errors import UserError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer, PreTrainedModel

DEFAULT_NOISE = 0.3
"""Of the default words' spread: enough to tell two tokens apart, too little to leave the nouns."""


def asset_token(index: int) -> str:
    """`<asset0>`, `<asset1>`, ... as in the paper's released script."""
    return f"<asset{index}>"


class PlaceholderEmbedding(nn.Module):
    """The frozen vocabulary, with the placeholder rows and a few word rows as own parameters.

    Optimising these rows alone equals optimising the whole matrix and restoring the other rows,
    as the released script does in phase 1. In phase 2 the words of the training prompts move too;
    other rows have no gradient, and their weight decay is below half an ulp at the paper's rates.
    """

    vocabulary: torch.Tensor
    word_ids: torch.Tensor
    _frozen_id: torch.Tensor
    _slot: torch.Tensor

    def __init__(
        self,
        vocabulary_VD: torch.Tensor,
        first_id: int,
        rows_ND: torch.Tensor,
        word_ids: Sequence[int],
    ) -> None:
        super().__init__()
        device = vocabulary_VD.device
        self.register_buffer("vocabulary", vocabulary_VD.detach(), persistent=False)
        # In fp32 whatever the vocabulary is: steps of phase 1 would vanish in half precision.
        self.placeholder_rows = nn.Parameter(rows_ND.detach().clone().float().to(device))
        words_M = torch.tensor(sorted(set(word_ids)), dtype=torch.long, device=device)
        self.register_buffer("word_ids", words_M, persistent=False)
        words_MD = vocabulary_VD.detach()[words_M].clone().float()
        self.word_rows = nn.Parameter(words_MD, requires_grad=False)
        count = first_id + rows_ND.shape[0]
        table = torch.arange(count, device=device).clamp_max(vocabulary_VD.shape[0] - 1)
        slots = torch.full((count,), -1, dtype=torch.long, device=device)
        slots[words_M] = torch.arange(len(words_M), device=device)
        slots[first_id:] = len(words_M) + torch.arange(rows_ND.shape[0], device=device)
        self.register_buffer("_frozen_id", table, persistent=False)
        self.register_buffer("_slot", slots, persistent=False)
        self.embedding_dim = vocabulary_VD.shape[1]
        self.num_embeddings = count

    @property
    def weight(self) -> torch.Tensor:
        """The frozen vocabulary (V, D); pipelines ask it for the dtype."""
        return self.vocabulary

    def forward(self, input_ids_BL: torch.Tensor) -> torch.Tensor:
        """Embeddings of the ids; (B, L, D)."""
        slot_BL = self._slot[input_ids_BL]
        trained_RD = torch.cat([self.word_rows, self.placeholder_rows])
        frozen_BLD = self.vocabulary[self._frozen_id[input_ids_BL]]
        # Not by indexing: its backward adds in an order that depends on the number of threads.
        chosen_BLD = F.embedding(slot_BL.clamp_min(0), trained_RD).to(frozen_BLD.dtype)
        return torch.where((slot_BL >= 0)[..., None], chosen_BLD, frozen_BLD)


def add_placeholders(
    tokenizer: CLIPTokenizer,
    text_encoder: PreTrainedModel,
    rows_ND: torch.Tensor,
    word_ids: Sequence[int] = (),
) -> tuple[str, ...]:
    """Teach tokenizer and text encoder the tokens `<asset0>`..., starting from `rows_ND`.

    Returns the tokens. Works once per loaded model; raises UserError where the names are taken.
    """
    names = tuple(asset_token(index) for index in range(rows_ND.shape[0]))
    first_id = len(tokenizer)
    # AddedToken objects would strip blanks; plain strings keep the script's tokenisation.
    if tokenizer.add_tokens(list(names)) != len(names):
        raise UserError(
            "this base model already knows <asset0>", "choose a base model that is not fine-tuned"
        )
    vocabulary_VD = input_rows(text_encoder)
    embedding = PlaceholderEmbedding(vocabulary_VD, first_id, rows_ND, word_ids)
    text_encoder.set_input_embeddings(embedding)
    return names


def input_rows(text_encoder: PreTrainedModel) -> torch.Tensor:
    """The text encoder's input embedding matrix (V, D)."""
    weight = text_encoder.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def initial_rows(
    tokenizer: CLIPTokenizer,
    text_encoder: PreTrainedModel,
    initializers: Sequence[str],
    generator: torch.Generator,
    *,
    default: str = "",
) -> torch.Tensor:
    """Start values of the new rows; (N, D).

    A row starts as the mean over all sub-tokens of its initializer word (the released script
    takes the first alone). Without a word it starts as the mean of the `default` words with
    `DEFAULT_NOISE` of their spread, or, without those, like a random word of the vocabulary: the
    mean of all rows plus noise of their spread.
    """
    weight_VD = input_rows(text_encoder).detach().float().cpu()
    pool_PD, share = weight_VD, 1.0
    if default:
        pool_PD, share = weight_VD[word_pieces(tokenizer, default)], DEFAULT_NOISE
    spread_D = pool_PD.std(0) if len(pool_PD) > 1 else weight_VD.std(0)
    rows: list[torch.Tensor] = []
    for word in initializers:
        if word:
            rows.append(weight_VD[word_pieces(tokenizer, word)].mean(0))
        else:
            noise_D = torch.randn(weight_VD.shape[1], generator=generator)
            rows.append(pool_PD.mean(0) + share * noise_D * spread_D)
    return torch.stack(rows)


def word_pieces(tokenizer: CLIPTokenizer, word: str) -> list[int]:
    """Ids of a word's sub-tokens; raises UserError for a word without any."""
    pieces: list[int] = tokenizer(word, add_special_tokens=False).input_ids
    if not pieces:
        raise UserError(f"{word!r} is no word this model knows", "choose another --init word")
    return pieces


def prompt_limit(tokenizer: CLIPTokenizer, text_encoder: PreTrainedModel) -> int:
    """Prompt positions that both know; a tokenizer without a limit states an enormous one."""
    return min(tokenizer.model_max_length, int(text_encoder.config.max_position_embeddings))


def learned_rows(text_encoder: PreTrainedModel) -> PlaceholderEmbedding:
    """The placeholder rows, once `add_placeholders` has put them in."""
    embedding = text_encoder.get_input_embeddings()
    assert isinstance(embedding, PlaceholderEmbedding), "no placeholder tokens were added"
    return embedding


def encode_prompts(
    tokenizer: CLIPTokenizer, prompts: Sequence[str], limit: int | None = None
) -> torch.Tensor:
    """Prompt ids padded and cut to `limit` positions (None: the tokenizer's); int64 (B, L)."""
    length: int = limit or tokenizer.model_max_length
    batch: Any = tokenizer(
        list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    return batch.input_ids


def token_columns(input_ids_BL: torch.Tensor, token_ids_BK: torch.Tensor) -> torch.Tensor:
    """Prompt position of each token; int64 (B, K), 0 for empty slots (id below 0)."""
    hits_BKL = input_ids_BL[:, None, :] == token_ids_BK[:, :, None]
    return hits_BKL.int().argmax(dim=-1)

"""Prompts through one CLIP text encoder: Stable Diffusion 1.x and 2.x.

Shape legend: B batch, E text encoders (1), L prompt positions, D width, K placeholder slots, N
placeholder tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from engine.families.contract import Conditioning
from engine.families.tokens import (
    PlaceholderEmbedding,
    add_placeholders,
    encode_prompts,
    initial_rows,
    learned_rows,
    prompt_limit,
    token_columns,
)


class ClipText:
    """The states are the encoder's last hidden states."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder
        self.encoders, self.tokenizers = (encoder,), (tokenizer,)
        self.limit = prompt_limit(tokenizer, encoder)

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """Ids padded and cut to `limit`; int64 (B, 1, L)."""
        return encode_prompts(self.tokenizer, prompts, self.limit)[:, None]

    def length(self, prompt: str) -> int:
        """Positions that the prompt would need, end markers included."""
        return len(self.tokenizer(prompt).input_ids)

    def initial_rows(
        self, initializers: Sequence[str], generator: torch.Generator, *, default: str = ""
    ) -> tuple[torch.Tensor, ...]:
        """Start values of the new rows, (N, D)."""
        return (
            initial_rows(self.tokenizer, self.encoder, initializers, generator, default=default),
        )

    def add_tokens(self, rows: Sequence[torch.Tensor], word_ids: Sequence[int] = ()) -> None:
        """Teach tokenizer and encoder `<asset0>`..., starting from `rows`."""
        add_placeholders(self.tokenizer, self.encoder, rows[0], word_ids)

    def embeddings(self) -> tuple[PlaceholderEmbedding, ...]:
        """The learned rows."""
        return (learned_rows(self.encoder),)

    def columns(self, input_ids_BEL: torch.Tensor, token_ids_BK: torch.Tensor) -> torch.Tensor:
        """Position of each token in its prompt; int64 (B, K)."""
        return token_columns(input_ids_BEL[:, 0], token_ids_BK)

    def token_ids(self, tokens: Sequence[str]) -> torch.Tensor:
        """Ids of the placeholder tokens; int64 (N,)."""
        return torch.tensor(self.tokenizer.convert_tokens_to_ids(list(tokens)))

    def encode(self, input_ids_BEL: torch.Tensor) -> Conditioning:
        """The encoder's last hidden states (B, L, D)."""
        return Conditioning(self.encoder(input_ids_BEL[:, 0]).last_hidden_state, {})

    def unconditional(self, negative: str, count: int) -> Conditioning:
        """The states of the negative prompt, the empty one where there is none."""
        ids_1EL = self.tokenize([negative]).to(self.encoder.device)
        states_1LD, _ = self.encode(ids_1EL)
        return Conditioning(states_1LD.repeat(count, 1, 1), {})

"""A small causal transformer whose parts can be exchanged: the ground that variants compete on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    """Ordinary multi-head softmax attention; tokens see themselves and earlier ones."""

    def __init__(self, width: int, heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width, bias)

    def forward(self, x: Tensor, scores: Tensor | None = None) -> Tensor:
        """[batch, tokens, width] → the same shape.

        ``scores``, broadcastable to [batch, heads, tokens, tokens], are added before the softmax.
        """
        q, k, v = self.split(x)
        if scores is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            bias = scores.masked_fill(~mask, -torch.inf)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.join(mixed)

    def step(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """One token [batch, 1, width] and the keys and values before it → output, longer cache.

        The cache is [2, batch, heads, tokens, features]; :meth:`no_past` begins it.
        """
        q, k, v = self.split(x)
        cache = torch.cat([cache, torch.stack([k, v])], -2)
        return self.join(F.scaled_dot_product_attention(q, cache[0], cache[1])), cache

    def no_past(self, batch: int = 1) -> Tensor:
        """The cache before the first token."""
        features = self.out.in_features // self.heads
        return self.out.weight.new_zeros(2, batch, self.heads, 0, features)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [batch, heads, tokens, features]."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def join(self, mixed: Tensor) -> Tensor:
        """[batch, heads, tokens, features] → [batch, tokens, width]."""
        return self.out(mixed.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class FeedForward(nn.Sequential):
    """The ordinary feed-forward part, ``hidden`` wide inside."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class TokenEmbedding(nn.Module):
    """Each token's vector, and each position's, added; either can be fixed.

    Parameters
    ----------
    table
        First vectors of the tokens [vocabulary, width].
    position
        First vectors of the positions [tokens, width].
    learned, learned_position
        Train them.
    """

    def __init__(
        self,
        table: Tensor,
        position: Tensor,
        *,
        learned: bool = True,
        learned_position: bool = True,
    ) -> None:
        super().__init__()
        self.table = nn.Parameter(table.clone(), requires_grad=learned)
        self.position = nn.Parameter(position.clone(), requires_grad=learned_position)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, tokens] → [batch, tokens, width]."""
        return F.embedding(tokens, self.table) + self.position[: tokens.shape[1]]


class Block(nn.Module):
    """Attention and feed-forward part, each normalised before and added after."""

    def __init__(self, width: int, attention: nn.Module, feed: nn.Module, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.feed = attention, feed
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *extra: Tensor) -> Tensor:
        """[batch, tokens, width] → the same shape; ``extra`` goes to the attention."""
        x = x + self.dropout(self.attention(self.attention_norm(x), *extra))
        return x + self.dropout(self.feed(self.feed_norm(x)))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Tokens in, scores of the next token out.

    Parameters
    ----------
    embedding
        Tokens [batch, tokens] → [batch, tokens, width].
    attention, feed
        Make the parts of each layer from its number.
    vocabulary
        Tokens there are.
    tied
        Read the scores with the embedding's ``table`` instead of a head of their own.
    """

    def __init__(
        self,
        embedding: TokenEmbedding,
        vocabulary: int,
        layers: int,
        *,
        attention: Callable[[int], nn.Module],
        feed: Callable[[int], nn.Module],
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        width = embedding.table.shape[-1]
        self.embedding = embedding
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            Block(width, attention(layer), feed(layer), dropout) for layer in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor, *extra: Tensor) -> Tensor:
        """[batch, tokens] → scores [batch, tokens, vocabulary]."""
        x = self.dropout(self.embedding(tokens))
        for layer in self.layers:
            x = layer(x, *extra)
        x = self.norm(x)
        return F.linear(x, self.embedding.table) if self.head is None else self.head(x)


def trainable(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

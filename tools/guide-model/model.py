"""A small Llama decoder, laid out as GGUF's architecture `llama` expects it.

RoPE turns the pairs (2i, 2i+1), so that no permutation of query and key rows is needed for GGUF.
The output matrix is the embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Every matrix row is a multiple of 256 long, so that all block formats can hold it."""

    vocab: int = 3072
    hidden: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 768
    context: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


def rope_table(shape: Shape) -> Tensor:
    """Unit complex numbers [context, head_dim / 2]: the turn of each pair at each position."""
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.float64) / shape.head_dim
    angles = torch.outer(torch.arange(shape.context, dtype=torch.float64), shape.rope_base**-exponents)
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turns the pairs of x [batch, heads, tokens, head_dim]; a pair is a complex number."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


def drop_features(x: Tensor, share: float) -> Tensor:
    """Dropout of whole features per sequence of x [batch, tokens, hidden]: far fewer random numbers."""
    if share == 0.0:
        return x
    keep = torch.rand(x.shape[0], 1, x.shape[2]) >= share
    return x * (keep / (1.0 - share)).type_as(x)


class RmsNorm(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.eps = shape.norm_eps
        self.weight = nn.Parameter(torch.ones(shape.hidden))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Block(nn.Module):
    """Attention with grouped key/value heads, then SwiGLU, each behind a norm and around a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        kv_width = shape.kv_heads * shape.head_dim
        self.shape = shape
        self.attn_norm, self.ffn_norm = RmsNorm(shape), RmsNorm(shape)
        self.attn_q = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.attn_k = nn.Linear(shape.hidden, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.hidden, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.hidden, shape.hidden, bias=False)
        self.ffn_gate = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.ffn_up = nn.Linear(shape.hidden, shape.ffn, bias=False)
        self.ffn_down = nn.Linear(shape.ffn, shape.hidden, bias=False)
        causal = torch.full((shape.context, shape.context), float("-inf")).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def attend(self, x: Tensor, turns: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        split = lambda y: y.view(batch, tokens, -1, self.shape.head_dim).transpose(1, 2)  # noqa: E731
        q, k, v = split(self.attn_q(x)), split(self.attn_k(x)), split(self.attn_v(x))
        q, k = rotate(q, turns), rotate(k, turns)
        # Query heads that share a key/value head are stacked along the tokens: one product for the group.
        groups = self.shape.heads // self.shape.kv_heads
        q = q.reshape(batch, self.shape.kv_heads, groups * tokens, self.shape.head_dim)
        # Written out, since the backward pass of torch's fused CPU attention is several times slower here.
        scores = (q @ k.transpose(-1, -2)).view(batch, self.shape.kv_heads, groups, tokens, tokens)
        scores = scores * self.shape.head_dim**-0.5 + self.causal[:tokens, :tokens].type_as(scores)
        mixed = scores.softmax(-1).type_as(v).view(batch, self.shape.kv_heads, groups * tokens, tokens) @ v
        mixed = mixed.view(batch, self.shape.heads, tokens, self.shape.head_dim)
        return self.attn_output(mixed.transpose(1, 2).reshape(batch, tokens, -1))

    def forward(self, x: Tensor, turns: Tensor, dropout: float) -> Tensor:
        x = x + drop_features(self.attend(self.attn_norm(x), turns), dropout)
        h = self.ffn_norm(x)
        return x + drop_features(self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)), dropout)


class Guide(nn.Module):
    """Tokens [batch, tokens] to the hidden states before the output matrix; `logits` does the rest."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.token_embd = nn.Embedding(shape.vocab, shape.hidden)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = RmsNorm(shape)
        self.register_buffer("turns", rope_table(shape), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # Residual branches start smaller, so that the variance of their sum stays that of one.
                deep = (2 * shape.layers) ** -0.5 if name.endswith(("attn_output.weight", "ffn_down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.04 * deep)

    def forward(self, tokens: Tensor) -> Tensor:
        turns = self.turns[: tokens.shape[1]]
        dropout = self.dropout if self.training else 0.0
        x = drop_features(self.token_embd(tokens), dropout)
        for block in self.blk:
            x = block(x, turns, dropout)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.token_embd.weight)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

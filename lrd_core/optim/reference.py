"""Algorithm 1 of arXiv 1912.00144 in the paper's symbols: slow, the reference for the fast forms.

    W  parameters            G  gradient                M, φ  accumulation of gradients
    α  learning rate         D  mask, D ~ Bernoulli(p)  V, ψ  accumulation of squared gradients
    ΔW the step before α     λ  weight decay            t     steps, from 1

φ and ψ are functions of all gradients so far, G₁ … G_t, and are written as such: as sums over the
past, not as running averages. A step costs as much as all steps before it together.
"""

# ruff: noqa: N803, N806 - the names are the paper's.

from collections.abc import Callable, Iterator
from math import sqrt

import torch
from torch import Tensor

Method = Callable[[Tensor], Tensor]
"""From G₁ … G_t, stacked, to ΔW_t (lines 3 to 9), e.g. `adam`. Further arguments: torch's names."""


def algorithm_1(
    W: Tensor,
    gradient: Callable[[Tensor], Tensor],
    method: Method,
    alpha: float,
    D: Callable[[int], Tensor],
    weight_decay: float = 0.0,
) -> Iterator[Tensor]:
    """Yield W₁, W₂, … without end.

    Args:
        W: W₀, of any shape; left as it is.
        gradient: from W to ∇f(W), of W's shape.
        method: φ and ψ.
        alpha: α.
        D: from t to the mask D_t, of W's shape, 1 where the learning rate is kept.
        weight_decay: λ; λW is part of the gradient, so the mask falls on it too.
    """
    G = W.new_empty(0, *W.shape)
    while True:
        G = torch.cat([G, (gradient(W) + weight_decay * W).unsqueeze(0)])
        dW = method(G)
        A = alpha * D(len(G)).to(W.dtype)  # eq. 2
        W = W - A * dW
        yield W


def sgdm(G: Tensor, momentum: float = 0.9) -> Tensor:
    """φ = Σ μ^(t−i) G_i; no ψ: AdaptiveMethod is False."""
    return _sum(G, momentum)


def rmsprop(G: Tensor, alpha: float = 0.99, eps: float = 1e-8) -> Tensor:
    """φ = G_t, ψ = (1 − a) Σ a^(t−i) G_i²."""
    V = (1 - alpha) * _sum(G**2, alpha)
    return G[-1] / (V.sqrt() + eps)


def adam(G: Tensor, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Tensor:
    """φ and ψ are the weighted means of G_i and G_i²."""
    M = _mean(G, beta1)
    V = _mean(G**2, beta2)
    return M / (V.sqrt() + eps)


def amsgrad(G: Tensor, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Tensor:
    """ψ is the largest sum that Adam's has ever been, over today's sum of weights."""
    t = len(G)
    M = _mean(G, beta1)
    sums = [(1 - beta2) * _sum(G[:i] ** 2, beta2) for i in range(1, t + 1)]
    V = torch.stack(sums).amax(0) / (1 - beta2**t)
    return M / (V.sqrt() + eps)


def radam(G: Tensor, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Tensor:
    """Adam rectified by r; in the first steps, where ρ ≤ 5, AdaptiveMethod is False."""
    t = len(G)
    M = _mean(G, beta1)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5:
        return M
    r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    V = (1 - beta2) * _sum(G**2, beta2)
    return r * M * sqrt(1 - beta2**t) / (V.sqrt() + eps)


def _sum(terms: Tensor, decay: float) -> Tensor:
    """Σ decay^(t−i) term_i"""
    ages = torch.arange(len(terms) - 1, -1, -1, dtype=torch.float64)
    total: Tensor = torch.tensordot((decay**ages).to(terms), terms, dims=1)
    return total


def _mean(terms: Tensor, decay: float) -> Tensor:
    """The sum over the sum of its weights."""
    return (1 - decay) * _sum(terms, decay) / (1 - decay ** len(terms))

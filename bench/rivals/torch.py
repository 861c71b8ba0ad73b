"""torch: `F.kl_div` and `F.cross_entropy`, and `torch.distributions` for the rest."""

from functools import partial

import torch
from torch import distributions as dist
from torch.nn import functional as F

from bench.measure import importing, with_torch

DISTRIBUTIONS = ("torch",)


def _kl_logits(a, b):
    log_p, log_q = torch.log_softmax(a, -1), torch.log_softmax(b, -1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def _kl_normal(m1, s1, m2, s2):
    return dist.kl_divergence(dist.Normal(m1, s1), dist.Normal(m2, s2))


def _kl_gamma(a1, b1, a2, b2):
    return dist.kl_divergence(dist.Gamma(a1, b1), dist.Gamma(a2, b2))


def _kl_dirichlet(a, b):
    return dist.kl_divergence(dist.Dirichlet(a), dist.Dirichlet(b))


def _kl_div(a, b):
    return F.kl_div(torch.log_softmax(b, -1), torch.softmax(a, -1), reduction="none").sum(-1)


def _categorical(a, b):
    return dist.kl_divergence(dist.Categorical(logits=a), dist.Categorical(logits=b))


def _categorical_probs(a, b):
    p, q = (dist.Categorical(probs=torch.softmax(z, -1)) for z in (a, b))
    return dist.kl_divergence(p, q)


CASES = {
    "kl: F.kl_div": partial(with_torch, _kl_div),
    "kl: F.kl_div(log_target)": partial(with_torch, _kl_logits),
    "kl: Categorical(logits)": partial(with_torch, _categorical),
    "kl: Categorical(probs)": partial(with_torch, _categorical_probs),
    "normal: Normal": partial(with_torch, _kl_normal),
    "entropy: Categorical(logits)": partial(
        with_torch, lambda z: dist.Categorical(logits=z).entropy()
    ),
    "kl_logits": partial(with_torch, _kl_logits),
    "kl_normal": partial(with_torch, _kl_normal),
    "kl_gamma": partial(with_torch, _kl_gamma),
    "kl_dirichlet": partial(with_torch, _kl_dirichlet),
    "entropy": partial(with_torch, lambda z: dist.Categorical(logits=z).entropy()),
    "labels": partial(with_torch, lambda z, y: F.cross_entropy(z, y.long(), reduction="none")),
    "import": importing("torch"),
}

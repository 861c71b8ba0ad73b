"""distrax, over the nightly of TFP that it needs on a current JAX."""

from functools import partial

import distrax

from bench.measure import importing, with_jax

DISTRIBUTIONS = ("distrax", "tfp-nightly", "jax", "jaxlib")


def _kl_logits(a, b):
    return distrax.Categorical(logits=a).kl_divergence(distrax.Categorical(logits=b))


def _kl_normal(m1, s1, m2, s2):
    return distrax.Normal(m1, s1).kl_divergence(distrax.Normal(m2, s2))


CASES = {
    "kl_logits": partial(with_jax, _kl_logits),
    "kl_normal": partial(with_jax, _kl_normal),
    "entropy": partial(with_jax, lambda z: distrax.Categorical(logits=z).entropy()),
    "labels": partial(with_jax, lambda z, y: -distrax.Categorical(logits=z).log_prob(y)),
    "import": importing("distrax"),
}

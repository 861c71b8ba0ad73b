"""distrax, over the nightly of TFP that it needs on a current JAX."""

from functools import partial

import distrax
import jax
from tensorflow_probability.substrates.jax import distributions as tfd

from bench.measure import importing, with_jax

DISTRIBUTIONS = ("distrax", "tfp-nightly", "jax", "jaxlib")


def _kl_logits(a, b):
    return distrax.Categorical(logits=a).kl_divergence(distrax.Categorical(logits=b))


def _kl_normal(m1, s1, m2, s2):
    return distrax.Normal(m1, s1).kl_divergence(distrax.Normal(m2, s2))


def _kl_gamma(a1, b1, a2, b2):
    return distrax.Gamma(a1, b1).kl_divergence(distrax.Gamma(a2, b2))


def _kl_dirichlet(a, b):
    return tfd.kl_divergence(tfd.Dirichlet(a), tfd.Dirichlet(b))  # distrax has none


def _kl_probs(a, b):
    p, q = (distrax.Categorical(probs=jax.nn.softmax(z)) for z in (a, b))
    return p.kl_divergence(q)


def _tfp(**names):
    """TFP's own, which distrax brings along."""

    def kl(a, b):
        ((name, of),) = names.items()
        p, q = (tfd.Categorical(**{name: of(z)}) for z in (a, b))
        return tfd.kl_divergence(p, q)

    return kl


def _tfp_normal(m1, s1, m2, s2):
    return tfd.kl_divergence(tfd.Normal(m1, s1), tfd.Normal(m2, s2))


CASES = {
    "kl: Categorical(logits)": partial(with_jax, _kl_logits),
    "kl: Categorical(probs)": partial(with_jax, _kl_probs),
    "kl: TFP Categorical(logits)": partial(with_jax, _tfp(logits=lambda z: z)),
    "kl: TFP Categorical(probs)": partial(with_jax, _tfp(probs=jax.nn.softmax)),
    "normal: Normal": partial(with_jax, _kl_normal),
    "normal: TFP Normal": partial(with_jax, _tfp_normal),
    "entropy: Categorical(logits)": partial(
        with_jax, lambda z: distrax.Categorical(logits=z).entropy()
    ),
    "entropy: Categorical(probs)": partial(
        with_jax, lambda z: distrax.Categorical(probs=jax.nn.softmax(z)).entropy()
    ),
    "kl_logits": partial(with_jax, _kl_logits),
    "kl_normal": partial(with_jax, _kl_normal),
    "kl_gamma": partial(with_jax, _kl_gamma),
    "kl_dirichlet": partial(with_jax, _kl_dirichlet),
    "entropy": partial(with_jax, lambda z: distrax.Categorical(logits=z).entropy()),
    "labels": partial(with_jax, lambda z, y: -distrax.Categorical(logits=z).log_prob(y)),
    "import": importing("distrax"),
}

"""This package."""

from functools import partial

import jax

import jaxdiv as jd
from bench.measure import counted, eagerly, importing, process, with_jax

DISTRIBUTIONS = ("jaxdiv", "jax", "jaxlib")


def _fit(w, m, s, **options):
    target = jd.Mixture(jd.probs(w), jd.Normal(m, s))
    found = jd.fit(
        jd.reverse_kl(target), jd.Normal(0.0, 1.0), starts=4, key=jax.random.key(0), **options
    )
    return found.distribution.loc, found.distribution.scale


def _fits(w, m, s):
    return jax.vmap(partial(_fit, throw=False))(w, m, s)


def _refit_traces(w, m, s) -> int:
    """How often three fits of the same shape trace the target, in units of the first fit's."""
    calls = 0

    def log_prob(x, w, m, s):
        nonlocal calls
        calls += 1
        return jax.nn.logsumexp(jax.scipy.stats.norm.logpdf(x[..., None], m, s), axis=-1, b=w)

    first = 0
    for row in zip(w, m, s, strict=True):
        arrays = tuple(map(jax.numpy.asarray, row))
        target = jd.LogDensity(log_prob, arrays, points=arrays[1])
        jd.fit(jd.reverse_kl(target), jd.Normal(0.0, 1.0), starts=4, key=jax.random.key(0))
        first = first or calls
    return round(calls / first)


CASES = {
    "kl: logits": partial(with_jax, lambda a, b: jd.kl(jd.logits(a), jd.logits(b))),
    "kl: probs": partial(
        with_jax,
        lambda a, b: jd.kl(jd.probs(jax.nn.softmax(a)), jd.probs(jax.nn.softmax(b))),
    ),
    "kl: log_probs": partial(
        with_jax,
        lambda a, b: jd.kl(
            jd.log_probs(jax.nn.log_softmax(a)), jd.log_probs(jax.nn.log_softmax(b))
        ),
    ),
    "normal: Normal": partial(
        with_jax, lambda m1, s1, m2, s2: jd.kl(jd.Normal(m1, s1), jd.Normal(m2, s2))
    ),
    "entropy: logits": partial(with_jax, lambda z: jd.entropy(jd.logits(z))),
    "entropy: probs": partial(with_jax, lambda z: jd.entropy(jd.probs(jax.nn.softmax(z)))),
    "kl_logits": partial(with_jax, lambda a, b: jd.kl(jd.logits(a), jd.logits(b))),
    "kl_normal": partial(
        with_jax, lambda m1, s1, m2, s2: jd.kl(jd.Normal(m1, s1), jd.Normal(m2, s2))
    ),
    "kl_gamma": partial(with_jax, lambda a1, b1, a2, b2: jd.kl(jd.Gamma(a1, b1), jd.Gamma(a2, b2))),
    "kl_dirichlet": partial(with_jax, lambda a, b: jd.kl(jd.Dirichlet(a), jd.Dirichlet(b))),
    "entropy": partial(with_jax, lambda z: jd.entropy(jd.logits(z))),
    "labels": partial(with_jax, lambda z, y: jd.cross_entropy(jd.labels(y), jd.logits(z))),
    "fit_warm": partial(eagerly, _fit),
    "fit_vmap_1000": partial(with_jax, _fits),
    "refit_traces": partial(counted, _refit_traces),
    "import": importing("jaxdiv"),
    "cold_cli": process("-m", "jaxdiv", "fit"),
}

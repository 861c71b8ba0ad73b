"""numpyro: its distributions (no KL between categorical logits), and SVI as documented."""

from functools import partial

import jax
import numpyro
from numpyro import distributions as dist
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

from bench.measure import counted, eagerly, importing, with_jax

DISTRIBUTIONS = ("numpyro", "jax", "jaxlib")


def _kl_logits(a, b):
    p, q = (dist.CategoricalProbs(jax.nn.softmax(z)) for z in (a, b))
    return dist.kl_divergence(p, q)


def _kl_normal(m1, s1, m2, s2):
    return dist.kl_divergence(dist.Normal(m1, s1), dist.Normal(m2, s2))


def _kl_gamma(a1, b1, a2, b2):
    return dist.kl_divergence(dist.Gamma(a1, b1), dist.Gamma(a2, b2))


def _kl_dirichlet(a, b):
    return dist.kl_divergence(dist.Dirichlet(a), dist.Dirichlet(b))


def _model(w, m, s):
    numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(w), dist.Normal(m, s)))


def _fit(w, m, s, model=_model):
    svi = SVI(model, AutoNormal(model), numpyro.optim.Adam(0.01), Trace_ELBO())
    found = svi.run(jax.random.key(0), 2000, w, m, s, progress_bar=False).params
    return found["x_auto_loc"], found["x_auto_scale"]


def _refit_traces(w, m, s) -> int:
    """How often three fits of the same shape trace the model, in units of the first fit's."""
    calls = first = 0

    def model(w, m, s):
        nonlocal calls
        calls += 1
        _model(w, m, s)

    for row in zip(w, m, s, strict=True):
        _fit(*map(jax.numpy.asarray, row), model=model)
        first = first or calls
    return round(calls / first)


CASES = {
    "kl: CategoricalProbs": partial(with_jax, _kl_logits),
    "normal: Normal": partial(with_jax, _kl_normal),
    "entropy: CategoricalLogits": partial(with_jax, lambda z: dist.CategoricalLogits(z).entropy()),
    "entropy: CategoricalProbs": partial(
        with_jax, lambda z: dist.CategoricalProbs(jax.nn.softmax(z)).entropy()
    ),
    "kl_logits": partial(with_jax, _kl_logits),
    "kl_normal": partial(with_jax, _kl_normal),
    "kl_gamma": partial(with_jax, _kl_gamma),
    "kl_dirichlet": partial(with_jax, _kl_dirichlet),
    "entropy": partial(with_jax, lambda z: dist.CategoricalLogits(z).entropy()),
    "labels": partial(with_jax, lambda z, y: -dist.CategoricalLogits(z).log_prob(y)),
    "fit_warm": partial(eagerly, _fit),
    "refit_traces": partial(counted, _refit_traces),
    "import": importing("numpyro"),
}

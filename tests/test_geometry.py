"""Fisher-vector products: information matrices of textbooks, and multiples of them."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.flatten_util import ravel_pytree

import jaxdiv as jd

from .parametric import MULTIVARIATE, PARAMETRIC, tril

# f''(1), or what stands for it.
MULTIPLES = [
    (jd.KL(), 1.0),
    (jd.Jeffreys(), 2.0),
    (jd.Renyi(0.3), 0.3),
    (jd.ChiSquared(), 2.0),
    (jd.SquaredHellinger(), 0.25),
    (jd.AmariAlpha(0.3), 1.0),
    (jd.Tsallis(1.7), 1.7),
    (jd.JensenShannon(), 0.25),
]
RNG = np.random.default_rng(0)


def fisher(functional, d):
    """All of it, column by column."""
    flat, rebuild = ravel_pytree(d)

    def column(v):
        return ravel_pytree(jd.fisher_vector_product(functional, d, rebuild(v)))[0]

    return jax.vmap(column)(jnp.eye(flat.size))


def normal_information(loc, factor):
    """Of mean and Cholesky factor, from those of the covariance (Magnus & Neudecker)."""
    size = len(loc)
    inverse = np.linalg.inv(factor @ factor.T)
    out = np.zeros((size + size**2,) * 2)
    out[:size, :size] = inverse
    changes = []
    for i in range(size):
        for j in range(size):
            unit = np.zeros((size, size))
            unit[i, j] = i >= j
            changes.append(inverse @ (unit @ factor.T + factor @ unit.T))
    out[size:, size:] = [[0.5 * np.trace(a @ b) for a in changes] for b in changes]
    return out


def gamma_information(a, b):
    trigamma = scipy.special.polygamma(1, a)
    return np.array([[trigamma, -1 / b], [-1 / b, a / b**2]])


FACTOR = np.asarray(tril(RNG, 3))
SCORES = 2 * RNG.normal(size=6)
MASSES = scipy.special.softmax(SCORES)
KNOWN = [
    (jd.Normal(jnp.asarray(0.3), jnp.asarray(0.7)), np.diag([1 / 0.49, 2 / 0.49])),
    (jd.Gamma(jnp.asarray(2.3), jnp.asarray(0.7)), gamma_information(2.3, 0.7)),
    (
        jd.MultivariateNormal(jnp.zeros(3), jnp.asarray(FACTOR)),
        normal_information(np.zeros(3), FACTOR),
    ),
    (jd.logits(jnp.asarray(SCORES)), np.diag(MASSES) - np.outer(MASSES, MASSES)),
]


@pytest.mark.parametrize(("d", "information"), KNOWN, ids=["normal", "gamma", "tril", "logits"])
def test_fisher_information(d, information):
    chosen = MULTIPLES[:-1] if isinstance(d, jd.Normal) else MULTIPLES
    # Of the others a program takes long to compile.
    some = {jd.Gamma: MULTIPLES[:1], jd.MultivariateNormal: MULTIPLES[:3]}
    chosen = some.get(type(d), chosen if isinstance(d, jd.Normal) else MULTIPLES[::7])
    products = jax.jit(lambda d: [fisher(functional, d) for functional, _ in chosen])(d)
    for (_, multiple), got in zip(chosen, products, strict=True):
        want = multiple * information
        np.testing.assert_allclose(got, want, atol=1e-12 * abs(want).max(), rtol=1e-11)


def test_a_thousand_classes_in_single_precision():
    z, v = (RNG.normal(size=(2, 1000)) * s for s in (4.0, 1.0))
    z, v = z.astype(np.float32), v.astype(np.float32)
    got = jax.jit(jax.vmap(lambda z, v: jd.fisher_vector_product(jd.KL(), z, v, jd.logits)))(z, v)
    p = scipy.special.softmax(z.astype(np.float64), -1)
    want = p * (v - (p * v).sum(-1, keepdims=True))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, atol=1e-6 * abs(want).max())


def test_parameters_of_a_network():
    r"""$J^T (\mathrm{diag}(p) - p p^T) J v$, of a network with a kink and of masked classes."""
    x = jnp.asarray(RNG.normal(size=(5, 3)))
    params = {"a": jnp.asarray(RNG.normal(size=(3, 4))), "b": jnp.asarray(RNG.normal(size=(4, 3)))}
    tangent = jax.tree.map(lambda w: jnp.asarray(RNG.normal(size=w.shape)), params)

    def scores(w):
        return jax.nn.relu(x @ w["a"]) @ w["b"]

    def policy(w):
        return jd.logits(scores(w), where=jnp.asarray([True, False, True]))

    p = np.where([True, False, True], np.exp(scores(params)), 0)
    p = p / p.sum(-1, keepdims=True)
    pushed = np.asarray(jax.jvp(scores, (params,), (tangent,))[1])
    change = p * (pushed - (p * pushed).sum(-1, keepdims=True))
    (want,) = jax.vjp(scores, params)[1](jnp.asarray(change))
    got = jax.jit(lambda w, v: jd.fisher_vector_product(jd.KL(), w, v, policy))(params, tangent)
    for name, leaf in got.items():
        np.testing.assert_allclose(leaf, want[name], rtol=1e-11, atol=1e-14)
    with pytest.raises(ValueError, match=r"tangent has shape \(3,\)"):
        jd.fisher_vector_product(jd.KL(), jd.Normal(0.0, 1.0), jd.Normal(jnp.zeros(3), 1.0))
    with pytest.raises(TypeError, match="takes a divergence, got CrossEntropy"):
        jd.fisher_vector_product(jd.CrossEntropy(), jd.Normal(0.0, 1.0), jd.Normal(0.0, 1.0))
    with pytest.raises(TypeError):
        jd.fisher_vector_product(jd.KL(), jnp.zeros(3), jnp.zeros(3))


def test_of_estimates_and_of_fields_that_are_not_parameters():
    d = jd.Normal(jnp.asarray(0.3), jnp.asarray(0.7))
    by_nodes = jd.fisher_vector_product(
        jd.JensenShannon(), d, jd.Normal(1.0, 1.0), estimator=jd.Quadrature()
    )
    np.testing.assert_allclose([by_nodes.loc, by_nodes.scale], [0.25 / 0.49, 0.5 / 0.49], rtol=1e-9)
    counts = jd.fisher_vector_product(jd.KL(), jd.Binomial(7, 0.4), jd.Binomial(7, 1.0))
    assert counts.total_count is None
    assert float(counts.probs) == pytest.approx(7 / 0.24, rel=1e-12)


def exponential_families():
    """Two members of each."""
    rng = np.random.default_rng(0)
    for family in PARAMETRIC:
        yield tuple(family.make(*map(jnp.asarray, fields)) for fields in family.moderate)
    for family in MULTIVARIATE:
        yield family.make(rng), family.make(rng)


@pytest.mark.exhaustive
def test_dual_coordinates():
    r"""$\nabla_\eta \log p(x) = T(x) - \nabla A$, and of KL in Q's coordinates their difference."""
    pairs = [d for d in exponential_families() if isinstance(d[0], jd.AbstractExponentialFamily)]
    assert len(pairs) >= 16

    @jax.jit
    def sides(pairs):
        found = []
        for p, q in pairs:
            x = (
                jnp.floor(p.mean)
                if p.integer
                else p.loc
                if "Fisher" in type(p).__name__
                else p.mean
            )
            score = jax.grad(lambda eta, p=p, x=x: p.from_natural(eta).log_prob(x))(p.natural())
            slope = jax.grad(lambda eta, p=p, q=q: jd.kl(p, q.from_natural(eta)))(q.natural())
            means = p.expectation(), q.expectation()
            gaps = [a - b for a, b in zip(p.statistic(x), means[0], strict=True)]
            moves = [b - a for a, b in zip(*means, strict=True)]
            found.append(((score, tuple(gaps)), (slope, tuple(moves))))
        return found

    for (p, _), identities in zip(pairs, sides(pairs), strict=True):
        for got, want in identities:
            for a, b in zip(got, want, strict=True):
                if b.ndim == 2:  # of what is symmetric
                    a = (a + a.T) / 2
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10, err_msg=type(p).__name__)

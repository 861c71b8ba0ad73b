"""Products of named parts, against the joint table of their outcomes."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd

from .registry import DISTINCT, masses_of, simplex

# Additive, functions of what is, and neither.
OF_PARTS = (
    "entropy",
    "renyi entropy 3.0",
    "tsallis entropy",
    "varentropy",
    "cross entropy",
    "kl",
    "jeffreys",
    "information variance",
    "squared hellinger",
    "chi squared",
    "renyi 0.25",
)
NOT_OF_PARTS = ("js 0.5", "total variation", "triangular discrimination", "bregman", "chernoff")


def tables(seed):
    """Two parts, one of them within a dict, and the table of both as classes."""
    rng = np.random.default_rng(seed)
    a, b = simplex(rng, (3,)), simplex(rng, (4,))
    parts = {"a": jd.probs(jnp.asarray(a)), "b": {"c": jd.log_probs(jnp.log(jnp.asarray(b)))}}
    return parts, jd.probs(jnp.asarray(np.outer(a, b).ravel()))


P, Q = (
    {"x": jd.Normal(0.3, 1.2), "k": jd.Exponential(1.5)},
    {
        "x": jd.Normal(jnp.array([0.0, 1.0, 2.0]), 0.7),
        "k": jd.Exponential(0.8),
    },
)


def test_every_functional_is_that_of_the_joint_table():
    (p, joint_p), (q, joint_q) = tables(0), tables(1)
    known = [f for f in DISTINCT if f.name in OF_PARTS]
    values = jax.jit(lambda p, q: [f(p, q) for f in known])(p, q)
    (exact_p,), (exact_q,) = masses_of(joint_p), masses_of(joint_q)
    for f, value in zip(known, values, strict=True):
        with mp.workdps(40):
            want = float(f.reference(*(exact_p, exact_q)[: f.arity]))
        assert float(value) == pytest.approx(want, rel=1e-13), f.name
    for f in DISTINCT:
        if f.name in NOT_OF_PARTS:
            with pytest.raises(jd.NoClosedFormError, match=r"Product and Product.\nGive.*Monte"):
                f(p, q)


def test_draws_serve_the_others():
    (p, joint_p), (q, joint_q) = tables(0), tables(1)
    draws, D = jd.MonteCarlo(4000, gradient=jd.Score()), jd.JensenShannon()

    @jax.jit
    def results(p, q, *joint):
        return jd.estimate(D, p, q, draws, key=jr.key(0)), jd.divergence(D, *joint)

    found, value = results(p, q, joint_p, joint_q)
    assert abs(found.value - value) < 4 * found.standard_error
    assert 0 < found.standard_error < 0.05


def test_batches_broadcast_and_every_element_has_draws_of_its_own():
    axes = {"x": jd.Normal(0, None), "k": None}

    @jax.jit
    def results(p, q):
        x = jd.Product(q).sample(jr.key(0), (5,))
        found = jd.estimate(jd.KL(), p, q, jd.MonteCarlo(4000), key=jr.key(0))
        apart = jd.kl(p["x"], q["x"]) + jd.kl(p["k"], q["k"])
        over = jax.vmap(jd.kl, (None, axes))(p, q)
        slope = jax.jacfwd(lambda rate: jd.renyi(p | {"k": jd.Exponential(rate)}, q, 1.0))(1.5)
        return apart, jd.kl(p, q), over, x, jd.surprisal(q, x), found, slope

    apart, value, over, x, surprisal, found, slope = results(P, Q)
    np.testing.assert_allclose(slope, 1 / 1.5 - 0.8 / 1.5**2, rtol=1e-12)
    np.testing.assert_allclose(value, apart, rtol=1e-15)
    np.testing.assert_allclose(over, apart, rtol=1e-15)
    assert (abs(found.value - apart) < 4 * found.standard_error).all()
    assert jax.tree.map(jnp.shape, x) == {"k": (5, 3), "x": (5, 3)}
    assert len(np.unique(x["k"])) == 15
    want = scipy.stats.norm(np.array([0, 1, 2]), 0.7).logpdf(x["x"])
    want = want + scipy.stats.expon(scale=1 / 0.8).logpdf(x["k"])
    np.testing.assert_allclose(surprisal, -want, rtol=1e-12)


def test_pairwise_and_observations():
    ps = {"x": jd.Normal(jnp.arange(3.0), 1.0), "y": jd.probs(jnp.array([0.5, 0.5]))}
    table = jnp.asarray(simplex(np.random.default_rng(2), (4, 2)))
    qs = {"x": jd.Normal(jnp.arange(4.0), 2.0), "y": jd.probs(table)}
    seen = {"x": jd.PointMass(jnp.array([0.1, 0.2, 0.3, 0.4])), "y": jd.labels(1)}

    @jax.jit
    def results(ps, qs):
        return jd.pairwise(jd.KL(), ps, qs), jd.cross_entropy(seen, qs)

    matrix, loss = results(ps, qs)
    gaps = (jnp.arange(3.0)[:, None] - jnp.arange(4.0)) / 2
    want = gaps**2 / 2 + (0.25 - 1) / 2 + np.log(2) - 0.5 * np.log(4 * table.prod(1))
    np.testing.assert_allclose(matrix, want, rtol=1e-12)
    want = -scipy.stats.norm(np.arange(4), 2).logpdf(seen["x"].x) - np.log(table[:, 1])
    np.testing.assert_allclose(loss, want, rtol=1e-12)


def test_fits_of_products():
    target = {"x": jd.Normal(3.0, 2.0), "y": {"z": jd.Exponential(0.2)}}
    start = {"x": jd.Normal(0.0, 1.0), "y": {"z": jd.Exponential(1.0)}}
    parts = jd.fit(jd.forward_kl(target), start).distribution.parts
    found = parts["x"].loc, parts["x"].scale, parts["y"].parts["z"].rate
    np.testing.assert_allclose(found, (3.0, 2.0, 0.2), rtol=1e-8)
    seen = {"x": jd.samples(jnp.array([1.0, 2.0, 4.0]))}
    objective, family = jd.forward_kl(seen), {"x": jd.Normal(0.0, 1.0)}
    assert objective.quantity(jd.Product(family)).startswith("CrossEntropy(target, family)")
    assert objective(family, None) == jd.cross_entropy(seen["x"], family["x"])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: jd.kl(P, {"x": Q["x"], "z": Q["k"]}), ValueError, r"lacks \['k'\].*has \['z'\]"),
        (lambda: jd.kl(Q["x"], P), TypeError, "product of parts.*got Normal"),
        (lambda: jd.kl(P, {"x": jnp.ones(2), "k": Q["k"]}), TypeError, r"q\['x'\] must say what"),
        (lambda: jd.kl({"a": {"b": 1.0}}, P), TypeError, r"p\['a'\]\['b'\] must say what"),
        (lambda: jd.entropy({}), TypeError, "dict that is not empty"),
        (lambda: jd.entropy({0: P["x"]}), TypeError, "must be a string, got 0"),
        (lambda: jd.entropy({"m": jd.masses([1.0, 2.0])}), TypeError, "part 'm' is tagged"),
        (
            lambda: jd.entropy({"x": Q["x"], "y": jd.Normal(jnp.zeros(2), 1.0)}),
            ValueError,
            r"do not broadcast: \{'x': \(3,\), 'y': \(2,\)\}",
        ),
        (lambda: jd.kl(P, Q, estimator=jd.Quadrature()), TypeError, "on each part"),
        (
            lambda: jd.kl(P, {"x": Q["k"], "k": jd.Poisson(1.0)}, estimator=jd.FixedDraws(2)),
            ValueError,
            "no outcomes in common",
        ),
        (lambda: jd.surprisal(P, {"x": 1.0}), ValueError, r"x lacks \['k'\]"),
        (
            lambda: jd.checked(jd.entropy)({"x": jd.Normal(0.0, -1.0)}),
            Exception,
            r"p\['x'\]: Normal: scale must be positive",
        ),
    ],
)
def test_errors_name_the_parts(call, error, words):
    with pytest.raises(error, match=words):
        call()

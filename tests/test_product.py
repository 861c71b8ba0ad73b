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
from jaxdiv._estimator.exact import has_closed_form

from .registry import DISTINCT, masses_of, simplex

NOT_OF_PARTS = {
    "js 0.5",
    "js 0.25",
    "total variation",
    "triangular discrimination",
    "bregman",
    "chernoff",
    "f-divergence",
}


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
    operands = {f.name: (jd.Product(p), jd.Product(q))[: f.arity] for f in DISTINCT}
    known = [f for f in DISTINCT if has_closed_form(f.value, *operands[f.name])]
    assert {f.name for f in DISTINCT} - {f.name for f in known} == NOT_OF_PARTS
    values = jax.jit(lambda p, q: [f(p, q) for f in known])(p, q)
    (exact_p,), (exact_q,) = masses_of(joint_p), masses_of(joint_q)
    for f, value in zip(known, values, strict=True):
        with mp.workdps(40):
            want = float(f.reference(*(exact_p, exact_q)[: f.arity]))
        assert float(value) == pytest.approx(want, rel=1e-13), f.name
    with pytest.raises(jd.NoClosedFormError, match=r"Product and Product.\nGive.*MonteCarlo"):
        jd.jensen_shannon(p, q)


def test_draws_serve_the_others():
    (p, joint_p), (q, joint_q) = tables(0), tables(1)
    draws, kinds = jd.MonteCarlo(4000, gradient=jd.Score()), (jd.JensenShannon(), jd.KL())
    found = jax.jit(lambda p, q: [jd.estimate(D, p, q, draws, key=jr.key(0)) for D in kinds])(p, q)
    for D, e in zip(kinds, found, strict=True):
        assert abs(e.value - jd.divergence(D, joint_p, joint_q)) < 4 * e.standard_error
        assert 0 < e.standard_error < 0.05


def test_batches_broadcast_and_every_element_has_draws_of_its_own():
    expected = jd.kl(P["x"], Q["x"]) + jd.kl(P["k"], Q["k"])
    np.testing.assert_array_equal(jd.kl(P, Q), expected)
    np.testing.assert_allclose(jax.jit(jd.kl)(P, Q), expected, rtol=1e-14)
    over = jax.vmap(jd.kl, (None, {"x": jd.Normal(0, None), "k": None}))
    np.testing.assert_array_equal(over(P, Q), expected)
    x = jd.Product(Q).sample(jr.key(0), (5,))
    assert jax.tree.map(jnp.shape, x) == {"k": (5, 3), "x": (5, 3)}
    assert len(np.unique(x["k"])) == 15
    want = scipy.stats.norm(np.array([0, 1, 2]), 0.7).logpdf(x["x"])
    want = want + scipy.stats.expon(scale=1 / 0.8).logpdf(x["k"])
    np.testing.assert_allclose(jd.Product(Q).log_prob(x), want, rtol=1e-12)
    np.testing.assert_allclose(jd.surprisal(Q, x), -want, rtol=1e-12)
    found = jd.estimate(jd.KL(), P, Q, jd.MonteCarlo(4000), key=jr.key(0))
    assert (abs(found.value - expected) < 4 * found.standard_error).all()


def test_gradients_are_those_of_the_parts():
    q, y = jd.Normal(1.0, 0.7), jd.probs(jnp.array([0.4, 0.6]))

    def value(loc, p):
        parts = {"x": jd.Normal(loc, 1.2), "y": jd.probs(jnp.stack([p, 1 - p]))}
        return jd.squared_hellinger(parts, {"x": q, "y": y})

    def apart(loc, p):
        one = jd.squared_hellinger(jd.Normal(loc, 1.2), q)
        two = jd.squared_hellinger(jd.probs(jnp.stack([p, 1 - p])), y)
        return 1 - (1 - one) * (1 - two)

    got, want = (jax.jit(jax.value_and_grad(fn, (0, 1)))(0.3, 0.2) for fn in (value, apart))
    np.testing.assert_allclose(jax.tree.leaves(got), jax.tree.leaves(want), rtol=1e-12)


def test_pairwise_and_observations():
    ps = {"x": jd.Normal(jnp.arange(3.0), 1.0), "y": jd.probs(jnp.array([0.5, 0.5]))}
    qs = {"x": jd.Normal(jnp.arange(4.0), 2.0), "y": jd.logits(jnp.eye(4)[:, :2])}
    rows, columns = {"x": jd.Normal(0, None), "y": None}, {"x": jd.Normal(0, None), "y": 0}
    every = jax.vmap(jax.vmap(jd.kl, (None, columns)), (rows, None))
    matrix, want = jax.jit(lambda *args: (jd.pairwise(jd.KL(), *args), every(*args)))(ps, qs)
    assert matrix.shape == (3, 4)
    np.testing.assert_allclose(matrix, want, rtol=1e-14)
    seen = {"x": jd.PointMass(jnp.array([0.1, 0.2, 0.3, 0.4])), "y": jd.labels(1)}
    want = -jax.scipy.stats.norm.logpdf(seen["x"].x, jnp.arange(4.0), 2.0)
    want = want - jax.nn.log_softmax(qs["y"].values)[:, 1]
    np.testing.assert_allclose(jd.cross_entropy(seen, qs), want, rtol=1e-13)


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

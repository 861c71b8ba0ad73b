"""Explanations: each part against its definition in NumPy, and all of them against the value."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportIndexIssue=false
# pyright: reportOperatorIssue=false

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from matplotlib.figure import Figure

import jaxdiv as jd
from jaxdiv.plot import plot_explanation

from .families import tril
from .registry import DIVERGENCES, simplex

P, Q = (simplex(np.random.default_rng(seed), (5,)) for seed in (0, 1))
SUMS = ("kl", "js 0.25", "total variation", "chi squared", "amari alpha 2", "f-divergence")
GAPPED = jd.probs([0.5, 0.25, 0.25, 0.0]), jd.probs([0.5, 0.0, 0.25, 0.25])


def normals(rng, size, batch=(), dtype=np.float64):
    factors = [tril(rng, size) for _ in range(math.prod(batch))]
    loc, factors = rng.normal(size=(*batch, size)), np.reshape(factors, (*batch, size, size))
    return jd.MultivariateNormal(jnp.asarray(loc, dtype), jnp.asarray(factors, dtype))


def kl_of_covariances(cov_p, cov_q):
    ratio = np.linalg.solve(cov_q, cov_p)
    return 0.5 * (np.trace(ratio) - len(ratio) - np.linalg.slogdet(ratio)[1])


def moments(d):
    loc, factor = np.asarray(d.loc), np.asarray(d.scale_tril)
    return loc, factor @ np.swapaxes(factor, -1, -2)


def split(p, q):
    """What the best shift of Q saves, what then the best scales save, and what is left."""
    (mean_p, cov_p), (mean_q, cov_q) = moments(p), moments(q)
    shift = mean_p - mean_q
    mean = 0.5 * shift @ np.linalg.solve(cov_q, shift)

    def rescaled(log_scale):
        scale = np.exp(log_scale)
        return kl_of_covariances(cov_p, scale[:, None] * cov_q * scale)

    start = 0.5 * np.log(np.diag(cov_p) / np.diag(cov_q))
    best = scipy.optimize.minimize(rescaled, start, tol=1e-12).fun
    return {"mean": mean, "scale": rescaled(0 * start) - best, "correlation": best}


def test_classes_give_what_the_divergence_sums():
    known = [f for f in DIVERGENCES if f.name in SUMS]
    assert len(known) == len(SUMS)
    p, q = jd.probs(jnp.asarray(P)), jd.log_probs(jnp.log(jnp.asarray(Q)))
    found = jax.jit(lambda p, q: [jd.explain(f.value, p, q) for f in known])(p, q)
    terms = {f.name: e.terms["class"] for f, e in zip(known, found, strict=True)}
    for f, e in zip(known, found, strict=True):
        assert (terms[f.name] >= 0).all() and not e.mismatch.found
        assert float(e.value) == pytest.approx(float(terms[f.name].sum()), rel=1e-13), f.name
    np.testing.assert_allclose(terms["kl"], P * np.log(P / Q) - P + Q, rtol=1e-9)
    np.testing.assert_allclose(terms["total variation"], abs(P - Q) / 2, rtol=1e-12)
    np.testing.assert_allclose(terms["chi squared"], (P - Q) ** 2 / Q, rtol=1e-12)


def test_normals_are_split_by_what_changes_of_q_save():
    rng = np.random.default_rng(0)
    p, q = normals(rng, 3, (5,)), normals(rng, 3, (5,))
    spread = jnp.asarray([1e-3, 0.3, 1.0, 30.0, 1e-5])[:, None]
    p = jd.MultivariateNormal(spread * p.loc, spread[..., None] * p.scale_tril)
    # The last two are near each other: their parts have all digits, as the value has.
    p = jax.tree.map(lambda x, y: x.at[-1].add(y[-1]), p, q)
    found = jax.jit(lambda p, q: jd.explain(jd.KL(), p, q))(p, q)
    np.testing.assert_allclose(sum(found.terms.values()), found.value, rtol=1e-13)
    assert found.value[-1] < 1e-8 and all(term[-1] > 0 for term in found.terms.values())
    for i in range(4):
        want = split(*(jax.tree.map(lambda x, i=i: x[i], d) for d in (p, q)))
        got = found[i].terms
        assert all(term >= 0 for term in got.values())
        for name, value in want.items():
            assert float(got[name]) == pytest.approx(value, rel=1e-6, abs=1e-9), (i, name)


def test_what_each_part_is_zero_for():
    rng = np.random.default_rng(1)
    p = normals(rng, 3)
    scales = jnp.asarray(np.exp(rng.normal(size=3)))
    rescaled = jd.MultivariateNormal(p.loc, scales[:, None] * p.scale_tril)
    moved = jd.MultivariateNormal(p.loc + 1, p.scale_tril)
    explain = jax.jit(lambda p, q: jd.explain(jd.KL(), p, q))
    by_scale, by_mean, same = (explain(p, q).terms for q in (rescaled, moved, p))
    assert by_scale["mean"] == 0 and abs(by_scale["correlation"]) < 1e-15
    assert abs(by_mean["scale"]) < 1e-15 and abs(by_mean["correlation"]) < 1e-15
    assert by_scale["scale"] > 0.1 and by_mean["mean"] > 0.1
    assert sum(same.values()) < 1e-15


def test_parts_differentiate_through_the_best_scales():
    rng = np.random.default_rng(2)
    p, q = normals(rng, 3), normals(rng, 3)
    away = jnp.tril(jnp.asarray(rng.normal(size=(3, 3))))

    def parts(t):
        moved = jd.MultivariateNormal(p.loc, p.scale_tril + t * away)
        terms = jd.explain(jd.KL(), moved, q).terms
        return jnp.stack([terms["scale"], terms["correlation"]])

    steps = jnp.array([-1e-5, 0.0, 1e-5])
    ends, slopes = jax.jit(jax.vmap(lambda t: (parts(t), jax.jacrev(parts)(t))))(steps)
    np.testing.assert_allclose(slopes[1], (ends[2] - ends[0]) / 2e-5, rtol=1e-8)


def test_a_product_is_explained_by_its_marginals_and_the_dependence():
    p = normals(np.random.default_rng(3), 3)
    q = jd.Independent(jd.Normal(jnp.array([0.5, -1.0, 2.0]), jnp.array([0.4, 1.0, 3.0])), 1)
    full = jd.MultivariateNormal(q.base.loc, jnp.diag(q.base.scale))
    explain = jax.jit(lambda p, *qs: [jd.explain(jd.KL(), p, q) for q in qs])
    found, general = explain(p, q, full)
    (mean, cov), (loc, scale) = moments(p), (np.asarray(q.base.loc), np.asarray(q.base.scale))
    ratio = np.diag(cov) / scale**2
    np.testing.assert_allclose(found.terms["mean"], 0.5 * ((mean - loc) / scale) ** 2, rtol=1e-12)
    np.testing.assert_allclose(found.terms["scale"], 0.5 * (ratio - 1 - np.log(ratio)), rtol=1e-9)
    correlations = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    total = -0.5 * np.linalg.slogdet(correlations)[1]
    assert float(found.terms["correlation"]) == pytest.approx(total, rel=1e-12)
    everything = sum(float(jnp.sum(term)) for term in found.terms.values())
    assert everything == pytest.approx(float(found.value), rel=1e-13)
    # The same by the general way, from Q's covariance.
    for name, term in found.terms.items():
        assert float(general.terms[name]) == pytest.approx(float(jnp.sum(term)), rel=1e-12), name


def test_a_table_is_explained_by_its_marginals_and_the_dependence():
    table = simplex(np.random.default_rng(4), (2, 6)).reshape(2, 2, 3)
    parts = {"y": jd.logits(jnp.array([0.3, 0.0, 1.0])), "x": jd.probs(jnp.array([0.4, 0.6]))}
    p = jd.probs(jnp.asarray(table.reshape(2, 6)))
    found = jax.jit(lambda p, q: jd.explain(jd.KL(), p, q))(p, parts)
    x, y = np.array([0.4, 0.6]), np.exp([0.3, 0.0, 1.0]) / np.exp([0.3, 0.0, 1.0]).sum()
    for i in range(2):
        of_x, of_y = table[i].sum(1), table[i].sum(0)
        marginal = [np.sum(of_x * np.log(of_x / x)), np.sum(of_y * np.log(of_y / y))]
        dependence = np.sum(table[i] * np.log(table[i] / np.outer(of_x, of_y)))
        whole = np.sum(table[i] * np.log(table[i] / np.outer(x, y)))
        one = found[i]
        np.testing.assert_allclose(one.terms["marginal"], marginal, rtol=1e-10)
        assert float(one.terms["dependence"]) == pytest.approx(dependence, rel=1e-10)
        assert float(one.value) == pytest.approx(whole, rel=1e-10)
        assert [label for label, _ in one.rows()] == ["marginal x", "marginal y", "dependence"]


def test_parts_of_products_images_and_batches():
    p = {"a": jd.LogNormal(0.0, 1.0), "b": jd.Normal(jnp.zeros(3), 1.0)}
    q = {"a": jd.LogNormal(1.0, 2.0), "b": jd.Normal(jnp.arange(3.0), 1.0)}
    found = jd.explain(jd.Renyi(2.0), p, q, base=2)
    assert found.terms["a"].shape == (3,) and found.unit == "bits"
    np.testing.assert_allclose(found.terms["a"] + found.terms["b"], found.value, rtol=1e-14)
    np.testing.assert_allclose(found.value, jd.renyi(p, q, 2.0, base=2), rtol=1e-14)
    image = jd.explain(jd.KL(), p["a"], q["a"])
    assert image.value == sum(image.terms.values()) and image.terms["mean"] == 0.125
    rows = [jd.Independent(jd.Laplace(jnp.zeros((2, 3)), s), 1) for s in (1.0, 2.0)]
    coordinates = jd.explain(jd.KL(), *rows).terms["coordinate"]
    np.testing.assert_allclose(coordinates, np.full((2, 3), math.log(2) - 0.5), rtol=1e-14)
    shared = jd.explain(jd.KL(), jd.Normal(jnp.arange(3.0), 1.0), jd.Normal(0.0, 2.0))
    assert shared.terms["scale"].shape == (3,)


def test_support_mismatch():
    found = jd.explain(jd.KL(), *GAPPED)
    assert found.value == math.inf == found.terms["class"][1]
    np.testing.assert_array_equal(found.mismatch.outcomes, [False, True, False, False])
    np.testing.assert_array_equal(found.mismatch.mass, [0, 0.25, 0, 0])
    assert str(found.mismatch) == "P has mass where Q has none: 1 (mass 0.25)"
    assert str(jd.support_mismatch(GAPPED[0], GAPPED[0])) == "Q covers P"
    q = jd.Uniform(-1.0, jnp.array([2.0, 3.0]))
    found = jax.jit(jd.support_mismatch)(jd.Uniform(0.0, 2.5), q)
    np.testing.assert_array_equal(found.intervals, [[[0, 0], [2, 2.5]], [[0, 0], [2.5, 2.5]]])
    np.testing.assert_array_equal(found.found, [True, False])
    found = jd.support_mismatch({"a": jd.Normal(0.0, 1.0)}, {"a": jd.Exponential(1.0)})["a"]
    np.testing.assert_array_equal(found.intervals, [[-np.inf, 0], [np.inf, np.inf]])
    apart = jd.support_mismatch(jd.Uniform(0.0, 1.0), jd.Uniform(2.0, 3.0))
    np.testing.assert_array_equal(apart.intervals, [[0, 1], [1, 1]])
    assert str(jd.support_mismatch(jd.Poisson(1.0), jd.Binomial(7, 0.5))).endswith("(7, inf)")


def test_text_and_figure():
    found = jd.explain(jd.KL(), *GAPPED, names=["cat", "dog", "cow", "emu"])
    assert str(found).splitlines() == [
        "KL between Probs and Probs: inf nats",
        "           nats  share",
        "class cat     0",
        "class dog   inf",
        "class cow     0",
        "class emu  0.25",
        "P has mass where Q has none: 1 (mass 0.25)",
    ]
    table = found.__rich__()
    assert [list(column.cells)[1] for column in table.columns] == ["class dog", "inf", ""]
    ax = plot_explanation(found, ax=Figure().subplots())
    assert [bar.get_width() for bar in ax.patches] == [0, 0.3, 0, 0.25]
    assert [text.get_text() for text in ax.texts] == [" ∞"]
    many = jd.explain(jd.TotalVariation(), *(jd.probs(jnp.asarray(x)) for x in (P, Q)))
    rows = many.rows(3)
    assert rows[-1][0] == "the other 2" and len(rows) == 4
    assert rows[0][1] == max(abs(P - Q)) / 2
    assert sum(value for _, value in rows) == pytest.approx(float(many.value))
    several = jd.explain(jd.KL(), jd.Normal(jnp.zeros(2), 1.0), jd.Normal(1.0, 1.0))
    assert str(several) == "KL between Normal and Normal, of batch shape (2,)"
    with pytest.raises(ValueError, match=r"choose one of them, explanation\[i\]"):
        plot_explanation(several, ax=Figure().subplots())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: jd.explain(jd.JensenShannon(), jd.Normal(0.0, 1.0), jd.Normal(0.0, 1.0)),
            jd.NoDecompositionError,
            r"JensenShannon between Normal and Normal is known.\nThere is one of every",
        ),
        (
            lambda: jd.explain(jd.Renyi(2.0), *GAPPED),
            jd.NoDecompositionError,
            "Renyi between Probs and Probs",
        ),
        (lambda: jd.explain(jd.KL(), *GAPPED, names="ab"), ValueError, "2 names .* for 4 classes"),
        (lambda: jd.explain(jd.ChiSquared(), *GAPPED, base=2), TypeError, "has no unit"),
        (
            lambda: jd.explain(jd.KL(), GAPPED[0], {"a": jd.probs([0.5, 0.5]), "b": jd.labels(0)}),
            jd.NoDecompositionError,
            "Probs and Product",
        ),
        (
            lambda: jd.explain(jd.KL(), GAPPED[0], {"a": jd.probs([0.5, 0.3, 0.2])}),
            ValueError,
            r"4 classes and the table of q 3 cells: \{'a': 3\}",
        ),
        (
            lambda: jd.support_mismatch(GAPPED[0], jd.Normal(0.0, 1.0)),
            TypeError,
            "no outcomes in common",
        ),
    ],
)
def test_errors_say_what_is_known(call, error, words):
    with pytest.raises(error, match=words):
        call()

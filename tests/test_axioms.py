"""What makes them divergences: identities and inequalities, and values against the definitions."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import mpmath as mp
import numpy as np
import pytest

import jaxdiv as jd

from .families import FAMILIES, OBSERVATIONS
from .registry import (
    CLOSED_FORM,
    DIVERGENCES,
    ESTIMATORS,
    FORMS,
    FUNCTIONALS,
    accepts,
    evaluate,
    masses_of,
    simplex,
)

TINY = 1e-13  # rounding, beside values of order 1
SHAPE = (200, 5)  # of every batch here: eager operations are compiled once per shape
MANY = 12  # rows that are compared with mpmath


def some_rows():
    """Pairs of probability vectors, some of them with zeros on one side, the other, or both."""
    rng = np.random.default_rng(7)
    p, q = simplex(rng, SHAPE), simplex(rng, SHAPE)
    p[6:MANY, 0] = q[5:8, 3] = 0
    p[9], q[9] = [1, 0, 0, 0, 0], [0, 0.5, 0, 0.5, 0]
    return jnp.asarray(p / p.sum(-1, keepdims=True)), jnp.asarray(q / q.sum(-1, keepdims=True))


@pytest.mark.parametrize("form_q", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("form_p", FORMS, ids=lambda form: form.name)
def test_definition_sign_bound_and_duality(form_p, form_q):
    p, q = some_rows()
    p, q = form_p.of(p), form_q.of(q)
    used = [f for f in FUNCTIONALS if accepts(f, form_p, form_q)]
    dual = [f for f in used if f.swapped is not None]
    values = [f(p, q) for f in used]
    swapped = [jd.divergence(f.swapped, q, p) for f in dual]
    with mp.workdps(50):
        rows = list(zip(masses_of(p, MANY), masses_of(q, MANY), strict=True))
        for f, value in zip(used, values, strict=True):
            want = [float(f.reference(*row[: f.arity])) for row in rows]
            np.testing.assert_allclose(value[:MANY], want, rtol=1e-12, atol=TINY, err_msg=f.name)
            if f.is_divergence:
                assert (value >= 0).all(), f.name
                assert (value <= f.bound * (1 + TINY)).all(), f.name
    by_name = {f.name: value for f, value in zip(used, values, strict=True)}
    for f, value in zip(dual, swapped, strict=True):
        np.testing.assert_allclose(
            f.scale * value, by_name[f.name], rtol=1e-12, atol=TINY, err_msg=f.name
        )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_exactly_zero_for_equal_rows(form, dtype):
    rows = simplex(np.random.default_rng(8), SHAPE).astype(dtype)
    rows[:5] = np.eye(5)
    p = form.of(jnp.asarray(rows))
    # Half precision is widened before any functional sees it.
    for f in DIVERGENCES if dtype != jnp.bfloat16 else DIVERGENCES[:3]:
        if accepts(f, form, form):
            value = f(p, jax.tree.map(lambda x: x + 0, p))
            assert (value == 0).all(), f.name
            assert value.dtype == (jnp.float64 if dtype == jnp.float64 else jnp.float32) or (
                form.name == "labels"
            )


def twins(family, dtype, seed=9):
    p = family.make(np.random.default_rng(seed), dtype)
    return p, jax.tree.map(lambda x: x + 0, p)


@pytest.mark.parametrize(
    "dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_exactly_zero_for_equal_distributions(family, dtype):
    p, q = twins(family, dtype)
    used = [(f, None) for f in DIVERGENCES if CLOSED_FORM.serves(f, p, q)]
    used = used or [(f, jd.Quadrature()) for f in DIVERGENCES if f.name in ("kl", "js 0.5")]
    values = jax.jit(lambda p, q: [f(p, q, estimator=how) for f, how in used])(p, q)
    for (f, _), value in zip(used, values, strict=True):
        assert value == 0 and value.dtype == dtype, f.name


# One of each way in which the log-ratio enters.
ZEROS = ("kl", "jeffreys", "js 0.25", "total variation", "squared hellinger", "renyi 2.0")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)
def test_exactly_zero_by_every_estimator(estimator):
    p, q = twins(estimator.family, jnp.float64)
    used = [f for f in DIVERGENCES if f.name in ZEROS and estimator.serves(f, p, q)]
    key = None if estimator.value.deterministic else jr.key(0)
    values = jax.jit(lambda p, q: evaluate(used, p, q, estimator=estimator.value, key=key))(p, q)
    assert used
    for f, value in zip(used, values, strict=True):
        assert value == 0, f.name


def test_data_processing():
    """Merging classes, and any channel, brings two distributions closer."""
    rng = np.random.default_rng(10)
    p, q = simplex(rng, SHAPE), simplex(rng, SHAPE)
    channel = simplex(rng, (*SHAPE, 5))
    none = np.zeros(SHAPE[0])
    merged = [np.stack([x[:, 0], x[:, 1:3].sum(1), x[:, 3:].sum(1), none, none], 1) for x in (p, q)]
    sent = [np.einsum("ni,nij->nj", x, channel) for x in (p, q)]
    for f in DIVERGENCES:
        if not f.monotone:
            continue
        before = f(jd.probs(p), jd.probs(q))
        for after in (merged, sent):
            less = f(*map(jd.probs, after))
            assert (less <= before + TINY).all(), f.name
            assert (less < 0.999 * before).mean() > 0.5 or f.name == "renyi 0.0", f.name


def test_joint_convexity():
    rng = np.random.default_rng(11)
    p, q = simplex(rng, (2, *SHAPE)), simplex(rng, (2, *SHAPE))
    weight = rng.uniform(size=SHAPE[0])
    mixed = [weight[:, None] * x[0] + (1 - weight[:, None]) * x[1] for x in (p, q)]
    for f in DIVERGENCES:
        if f.name in (
            "renyi 2.0",
            "renyi inf",
        ):  # jointly convex for orders up to 1 (van Erven & Harremoes 2014)
            continue
        one, other = (f(jd.probs(x), jd.probs(y)) for x, y in zip(p, q, strict=True))
        chord = weight * one + (1 - weight) * other
        assert (f(*map(jd.probs, mixed)) <= chord + TINY).all(), f.name


@pytest.mark.parametrize(
    "metric",
    [
        lambda p, q: jnp.sqrt(jd.jensen_shannon(p, q)),
        lambda p, q: jnp.sqrt(jd.squared_hellinger(p, q)),
        jd.total_variation,
    ],
)
def test_triangle_inequality(metric):
    rng = np.random.default_rng(12)
    x = simplex(rng, (3, *SHAPE), sharp=0.3)
    x[2, 100:] = 0.5 * (x[0, 100:] + x[1, 100:])  # in between, where it is tight for some
    a, b, c = map(jd.probs, x)
    assert (metric(a, b) <= metric(a, c) + metric(c, b) + TINY).all()


def test_inequalities():
    rng = np.random.default_rng(13)
    p, q = (jd.probs(simplex(rng, SHAPE, sharp=0.3)) for _ in range(2))
    kl, tv, h2 = jd.kl(p, q), jd.total_variation(p, q), jd.squared_hellinger(p, q)
    assert (tv <= jnp.sqrt(0.5 * kl)).all()  # Pinsker
    assert (tv <= jnp.sqrt(-jnp.expm1(-kl))).all()  # Bretagnolle & Huber
    assert (h2 <= tv).all() and (tv <= jnp.sqrt(h2 * (2 - h2)) + TINY).all()  # Le Cam
    assert (kl <= jnp.log1p(jd.chi_squared(p, q))).all()
    values = [jd.renyi(p, q, order) for order in (0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 5.0)]
    for low, high in itertools.pairwise(values):
        assert (low <= high + TINY).all()


def test_identities():
    rng = np.random.default_rng(14)
    p, q = (jd.probs(simplex(rng, SHAPE)) for _ in range(2))
    middle = jd.probs(0.25 * p.values + 0.75 * q.values)
    same = [
        (jd.renyi(p, q, 2.0), jnp.log1p(jd.chi_squared(p, q))),
        (jd.renyi(p, q, 1.0), jd.kl(p, q)),
        (jd.renyi(p, q, 1 + 1e-9), jd.kl(p, q)),
        (jd.bhattacharyya(p, q), -jnp.log1p(-jd.squared_hellinger(p, q))),
        (jd.jeffreys(p, q), jd.kl(p, q) + jd.kl(q, p)),
        (
            jd.jensen_shannon(p, q, 0.25),
            0.25 * jd.kl(p, middle) + 0.75 * jd.kl(q, middle),
        ),
        (
            jd.jensen_shannon(p, q, 0.25),
            jd.entropy(middle) - 0.25 * jd.entropy(p) - 0.75 * jd.entropy(q),
        ),
        (jd.kl(jd.masses(3 * p.values), jd.masses(3 * q.values)), 3 * jd.kl(p, q)),
        (jd.entropy(jd.probs(jnp.full(8, 0.125))), jnp.log(8.0)),
    ]
    for one, other in same:
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=TINY)


def test_cross_entropy_is_entropy_plus_kl():
    """Through logits: the values, and the gradients on either side."""
    rng = np.random.default_rng(15)
    a, b = jnp.asarray(3 * rng.normal(size=(2, *SHAPE)))

    def split(a, b):
        return jnp.sum(jd.entropy(jd.logits(a)) + jd.kl(jd.logits(a), jd.logits(b)))

    def whole(a, b):
        return jnp.sum(jd.cross_entropy(jd.logits(a), jd.logits(b)))

    one, other = (jax.jit(jax.value_and_grad(f, (0, 1)))(a, b) for f in (split, whole))
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)
    for make in (FAMILIES[0].make, FAMILIES[1].make, FAMILIES[3].make):
        p, q = make(rng, np.float64), make(rng, np.float64)
        np.testing.assert_allclose(jd.entropy(p) + jd.kl(p, q), jd.cross_entropy(p, q), rtol=1e-13)


def test_independent_parts_add():
    rng = np.random.default_rng(16)
    loc, scale = rng.normal(size=(2, 4, 3)), np.exp(rng.normal(size=(2, 4, 3)))
    parts = [jd.Normal(jnp.asarray(m), jnp.asarray(s)) for m, s in zip(loc, scale, strict=True)]
    p, q = (jd.Independent(part, 1) for part in parts)
    for verb in (jd.kl, jd.jeffreys, jd.cross_entropy, lambda p, q: jd.renyi(p, q, 0.5)):
        np.testing.assert_allclose(verb(p, q), verb(*parts).sum(-1), rtol=1e-13)
    np.testing.assert_allclose(jd.entropy(p), jd.entropy(parts[0]).sum(-1), rtol=1e-13)
    affinity = jnp.prod(1 - jd.squared_hellinger(*parts), -1)
    np.testing.assert_allclose(jd.squared_hellinger(p, q), 1 - affinity, rtol=1e-12)
    # The same as one multivariate normal with a diagonal covariance.
    full = [jd.MultivariateNormal(d.loc, jax.vmap(jnp.diag)(d.scale)) for d in parts]
    for one, other in ((p, full[1]), (full[0], q)):
        np.testing.assert_allclose(jd.kl(one, other), jd.kl(p, q), rtol=1e-12)


def test_units():
    p, q = (form_of(x) for form_of, x in zip((jd.probs, jd.logits), some_rows(), strict=True))
    q = jd.logits(jnp.exp(q.values))
    for f in FUNCTIONALS:
        operands = (p, q)[: f.arity]
        verb = f
        if f.value.logarithmic:
            for base in (2, 10, 3.5):
                np.testing.assert_allclose(
                    verb(*operands, base=base) * np.log(base), verb(*operands), rtol=1e-14
                )
            with pytest.raises(ValueError, match="base must be positive"):
                verb(*operands, base=1)
        else:
            with pytest.raises(TypeError, match="has no unit"):
                verb(*operands, base=2)
    assert jd.kl(jd.probs([1.0, 0.0]), jd.probs([0.25, 0.75]), base=2) == 2


@pytest.mark.parametrize("observed", OBSERVATIONS, ids=lambda family: family.name)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_cross_entropy_of_observations(family, observed):
    rng = np.random.default_rng(17)
    model = family.make(rng, np.float64)
    x = jnp.asarray(rng.normal(size=(7, *model.event_shape)))
    nll = -jnp.stack([model.log_prob(row) for row in x])
    if observed.name == "samples":
        weights = jnp.asarray(rng.normal(size=7))
        np.testing.assert_allclose(jd.cross_entropy(jd.samples(x), model), nll.mean())
        weighted = jd.cross_entropy(jd.samples(x, log_weights=weights), model)
        np.testing.assert_allclose(weighted, jnp.sum(jax.nn.softmax(weights) * nll), rtol=1e-12)
    elif family.name != "log density":
        np.testing.assert_allclose(jd.cross_entropy(jd.PointMass(x), model), nll, rtol=1e-12)

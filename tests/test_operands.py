"""Operands: what the constructors take and refuse, shapes, dtypes, masks, prefix trees, checks."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from jax.experimental.checkify import JaxRuntimeError
from jax.sharding import PartitionSpec as P

import jaxdiv as jd

from .families import FAMILIES, tril
from .registry import FORMS

RNG = np.random.default_rng(0)
Z = jnp.asarray(RNG.normal(size=(4, 3, 5)))
ROWS = jax.nn.softmax(Z)
TAGS = [jd.probs, jd.log_probs, jd.masses, jd.logits]


# Tags.


@pytest.mark.parametrize("bare", [np.ones(3) / 3, jnp.ones(3), [0.5, 0.5], 0.5, None, "x"])
def test_what_is_not_tagged_is_refused(bare):
    good = jd.probs([0.5, 0.5])
    for args, name in (((bare, good), "p"), ((good, bare), "q")):
        with pytest.raises(TypeError, match=rf"^{name} must say what it is"):
            jd.kl(*args)
        with pytest.raises(TypeError, match=r"probs\(\.\.\.\).*logits\(\.\.\.\)"):
            jd.divergence(jd.TotalVariation(), *args)
    with pytest.raises(TypeError, match="p must say what it is"):
        jd.entropy(bare)
    with pytest.raises(TypeError, match="p must say what it is"):
        jd.estimate(jd.Entropy(), bare, None, jd.Exact())


@pytest.mark.parametrize("tag", TAGS)
def test_tags_say_what_is_wrong(tag):
    name = tag.__name__
    with pytest.raises(ValueError, match=f"{name}: expected at least one axis"):
        tag(0.5)
    with pytest.raises(TypeError, match=f"{name}: expected real numbers"):
        tag(jnp.ones(3, complex))
    with pytest.raises(TypeError, match=f"{name}: where must be a boolean mask"):
        tag(jnp.ones(3), where=jnp.ones(3))
    with pytest.raises(ValueError, match=rf"{name}: where of shape \(2,\) does not broadcast"):
        tag(jnp.ones(3), where=jnp.ones(2, bool))
    with pytest.raises(ValueError, match="p has 3 classes and q has 4"):
        jd.kl(tag(jnp.ones(3)), tag(jnp.ones(4)))


def test_labels_logits_and_samples_say_what_is_wrong():
    with pytest.raises(TypeError, match="labels: expected integers, got float64"):
        jd.labels([0.0, 1.0])
    with pytest.raises(ValueError, match="check=True needs"):
        jd.labels([0, 1], check=True)
    with pytest.raises(ValueError, match="the number of classes is not known"):
        jd.total_variation(jd.labels([0, 1]), jd.labels([1, 1]))
    with pytest.raises(ValueError, match="temperature of shape"):
        jd.logits(jnp.ones((2, 3)), temperature=jnp.ones(3))
    with pytest.raises(ValueError, match="at least one observation"):
        jd.samples(jnp.ones((0, 2)))
    with pytest.raises(ValueError, match=r"log_weights must have shape \(3,\)"):
        jd.samples(jnp.ones((3, 2)), log_weights=jnp.ones(2))
    with pytest.raises(ValueError, match="an outcome of q has shape"):
        jd.cross_entropy(jd.samples(jnp.ones((3, 2))), jd.MultivariateNormal(Z[0, 0], jnp.eye(5)))
    with pytest.raises(TypeError, match=r"entropy of `masses` is not defined"):
        jd.entropy(jd.masses([1.0, 2.0]))
    for p, q in ((jd.masses([1.0]), jd.probs([1.0])), (jd.logits([1.0]), jd.masses([1.0]))):
        with pytest.raises(TypeError, match=r"renyi of `masses` is not defined"):
            jd.renyi(p, q, 0.5)


def test_functionals_say_what_is_wrong():
    for weight in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="weight must lie strictly between 0 and 1"):
            jd.JensenShannon(weight)
    for order in (-1.0, float("nan")):
        for kind in (jd.Renyi, jd.RenyiEntropy):
            with pytest.raises(ValueError, match="order must be a number from 0"):
                kind(order)
    for order in (0.0, float("inf")):
        for kind in (jd.Tsallis, jd.TsallisEntropy):
            with pytest.raises(ValueError, match="order must be positive and finite"):
                kind(order)


def test_families_say_what_is_wrong():
    normal = jd.Normal(jnp.zeros(3), 1.0)
    matrix = jnp.eye(2)
    with pytest.raises(ValueError, match="exactly one of scale_tril and covariance_matrix"):
        jd.entropy(jd.MultivariateNormal(jnp.zeros(2)))
    with pytest.raises(ValueError, match="exactly one of scale_tril and covariance_matrix"):
        jd.entropy(jd.MultivariateNormal(jnp.zeros(2), matrix, matrix))
    with pytest.raises(ValueError, match=r"expected loc \[\.\.\., D\]"):
        jd.entropy(jd.MultivariateNormal(jnp.zeros(3), matrix))
    with pytest.raises(ValueError, match=r"p is on R\^2 and q on R\^3"):
        jd.kl(
            jd.MultivariateNormal(jnp.zeros(2), matrix),
            jd.MultivariateNormal(jnp.zeros(3), jnp.eye(3)),
        )
    with pytest.raises(ValueError, match="ndims must be a positive integer"):
        jd.Independent(normal, 0)
    with pytest.raises(ValueError, match="fewer than ndims=2"):
        jd.entropy(jd.Independent(normal, 2))
    with pytest.raises(ValueError, match="must have one event shape"):
        jd.kl(jd.Independent(normal, 1), jd.Independent(jd.Normal(jnp.zeros(2), 1.0), 1))
    with pytest.raises(ValueError, match="2 weights for 3 components"):
        jd.cross_entropy(jd.Mixture(jd.probs([0.5, 0.5]), normal), normal)
    with pytest.raises(ValueError, match="components must be batched"):
        jd.cross_entropy(jd.Mixture(jd.probs([1.0]), jd.Normal(0.0, 1.0)), normal)
    with pytest.raises(TypeError, match="log_prob must be a function"):
        jd.LogDensity(0.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="support must be"):
        jd.LogDensity(lambda x: x, support=(1.0, 0.0))
    with pytest.raises(ValueError, match="must return a scalar"):
        jd.LogDensity(lambda x: jnp.stack([x, x])).log_prob(jnp.zeros(3))


# Shapes and dtypes.


@pytest.mark.parametrize("tag", TAGS)
def test_class_axis_and_mask(tag):
    given = ROWS if tag in (jd.probs, jd.masses) else jnp.log(ROWS)
    plain, moved = tag(given), tag(jnp.moveaxis(given, -1, 1), axis=1)
    assert plain.batch_shape == moved.batch_shape == (4, 3)
    np.testing.assert_array_equal(moved.values, given)
    where = jnp.arange(5) != 2
    masked = tag(jnp.moveaxis(given, -1, 0), axis=0, where=where[:, None, None])
    assert masked.where.shape == given.shape
    hidden = tag(given.at[..., 2].set(jnp.nan), where=where)
    some = jd.probs(jnp.full(5, 0.2), where=where)
    for q in (masked, hidden):
        np.testing.assert_array_equal(jd.kl(some, q), jd.kl(some, tag(given, where=where)))
        assert jnp.isfinite(jd.kl(some, q)).all()
    assert jd.kl(plain, tag(given[0, 0])).shape == (4, 3)
    assert jd.kl(tag(given[:, :1]), tag(given[:1])).shape == (4, 3)


def test_a_mask_is_minus_infinity_for_logits_and_zero_mass_for_the_others():
    where = jnp.arange(5) < 3
    z, p = Z[0], ROWS[0]
    np.testing.assert_allclose(
        jd.entropy(jd.logits(z, where=where)), jd.entropy(jd.logits(z[:, :3])), rtol=1e-14
    )
    np.testing.assert_allclose(
        jd.entropy(jd.probs(p, where=where)), -jnp.sum(p[:, :3] * jnp.log(p[:, :3]), -1)
    )
    np.testing.assert_allclose(
        jd.entropy(jd.log_probs(jnp.log(p), where=where)), jd.entropy(jd.probs(p, where=where))
    )


def test_temperature():
    for temperature in (2.0, jnp.asarray([0.5, 1.0, 4.0])):
        divided = Z / jnp.broadcast_to(jnp.asarray(temperature), (3,))[:, None]
        np.testing.assert_allclose(
            jd.kl(jd.logits(Z, temperature=temperature), jd.logits(Z[0])),
            jd.kl(jd.logits(divided), jd.logits(Z[0])),
            rtol=1e-13,
        )


def test_labels():
    y = jnp.array([0, 4, 2])
    hot, log_q = jax.nn.one_hot(y, 5), jnp.log(ROWS[0])
    nll = -jnp.sum(hot * log_q, -1)
    soft = -jnp.sum((0.9 * hot + 0.02) * log_q, -1)
    for q in (jd.logits(Z[0]), jd.probs(ROWS[0]), jd.log_probs(log_q)):
        np.testing.assert_allclose(jd.cross_entropy(jd.labels(y), q), nll, rtol=1e-13)
        np.testing.assert_allclose(jd.kl(jd.labels(y), q), nll, rtol=1e-13)
        for smoothing in (0.1, jnp.asarray(0.1)):
            smooth = jd.labels(y, smoothing=smoothing)
            np.testing.assert_allclose(jd.cross_entropy(smooth, q), soft, rtol=1e-13)
    assert jax.eval_shape(jd.cross_entropy, jd.labels(y), jd.logits(Z)).shape == (4, 3)
    assert (jd.entropy(jd.labels(y, num_classes=5)) == 0).all()


def test_labels_out_of_range_and_ignored():
    z = Z[0, :2]
    for form in (jd.logits, lambda z: jd.probs(jax.nn.softmax(z))):
        assert jnp.isnan(jd.cross_entropy(jd.labels([-1, 5]), form(z))).all()
        padded = jd.labels([0, -100], ignore=-100)
        value, slope = jax.jit(
            lambda z, form=form, y=padded: (
                jd.cross_entropy(y, form(z)),
                jax.grad(lambda z: jd.cross_entropy(y, form(z)).sum())(z),
            )
        )(z)
        assert value[1] == 0 and (slope[1] == 0).all()
        assert value[0] == jd.cross_entropy(jd.labels(0), form(z[0])) and slope[0, 0] < 0


@pytest.mark.parametrize("form_q", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("form_p", FORMS, ids=lambda form: form.name)
def test_result_dtype_is_that_of_the_operands(form_p, form_q):
    """Half precision gives float32; labels take the dtype of the other."""
    for dtype in (jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64):
        p, q = form_p.of(ROWS.astype(dtype)), form_q.of(ROWS[0].astype(dtype))
        value = jax.eval_shape(lambda p, q: (jd.kl(p, q), jd.total_variation(p, q)), p, q)
        if form_p.differentiable or form_q.differentiable:
            wide = jnp.float64 if dtype == jnp.float64 else jnp.float32
            assert {v.dtype for v in value} == {jnp.dtype(wide)}
        assert {v.shape for v in value} == {(4, 3)}


def test_mixed_dtypes_widen_unless_promotion_is_strict():
    p, q = jd.probs(ROWS.astype(jnp.float32)), jd.logits(Z)
    with jax.numpy_dtype_promotion("standard"):
        assert jax.eval_shape(jd.kl, p, q).dtype == jnp.float64
        assert jax.eval_shape(jd.kl, q, p).dtype == jnp.float64
    with pytest.raises(ValueError, match="no available implicit dtype promotion"):
        jd.kl(p, q)
    half = jd.logits(Z.astype(jnp.bfloat16))
    assert jax.eval_shape(jd.kl, half, p).dtype == jnp.float32
    normal = jd.Normal(jnp.float32(0), 1.0)
    assert jd.kl(normal, jd.Normal(0, 2)).dtype == jnp.float32
    assert jd.kl(jd.Normal(0, 1), jd.Normal(0, 2)).dtype == jnp.float64


def test_python_numbers_and_lists_serve():
    assert jd.kl(jd.Normal(0, 1), jd.Normal(1, 1)) == 0.5
    assert jd.kl(jd.probs([1, 0]), jd.probs([0.5, 0.5])) == pytest.approx(np.log(2), abs=1e-15)
    tree = jd.MultivariateNormal(np.zeros(2), np.eye(2))
    assert jd.kl(tree, jd.MultivariateNormal(np.ones(2), np.eye(2))) == 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_densities_samples_and_shapes(family):
    """Densities against SciPy's; draws against densities; one shape for everything."""
    d = family.make(np.random.default_rng(3), np.float64)
    event = (family.size,) if family.size else ()
    assert d.event_shape == event and d.batch_shape == () and d.normalized
    assert d.support == (-np.inf, np.inf)
    x = jnp.asarray(RNG.normal(size=(6, 4, *event)))
    assert d.log_prob(x).shape == (6, 4)
    np.testing.assert_allclose(d.log_prob(x), scipy_log_density(d, x), rtol=1e-11)
    by = jnp.asarray(RNG.normal(size=event))
    np.testing.assert_allclose(d.translate(by).log_prob(x - by), d.log_prob(x), rtol=1e-11)
    if isinstance(d, jd.LogDensity):
        with pytest.raises(TypeError, match="has no sampler"):
            d.sample(jr.key(0))
        return
    draws = d.sample(jr.key(0), (2000, 2))
    assert draws.shape == (2000, 2, *event)
    weights, strata = d.strata(jr.key(1), 4000)
    assert weights.shape == strata.shape[:1] and weights.sum() == pytest.approx(1)
    # A draw's log-density has mean -H: both kinds of draws must agree on it within their errors.
    plain, strata = d.log_prob(draws), d.log_prob(strata)
    stratified = jnp.sum(weights * strata.mean(1))
    error = jnp.sqrt(plain.var() / plain.size + jnp.sum(weights**2 * strata.var(1)) / 4000)
    assert abs(plain.mean() - stratified) < 4 * error
    entropy = jax.jit(lambda d: jd.entropy(d, estimator=jd.Quadrature()))(d)
    assert abs(plain.mean() + entropy) < 4 * plain.std() / plain.size**0.5


def scipy_log_density(d, x):
    match d:
        case jd.Normal():
            return scipy.stats.norm(d.loc, d.scale).logpdf(x)
        case jd.Independent():
            return scipy.stats.norm(d.base.loc, d.base.scale).logpdf(x).sum(-1)
        case jd.MultivariateNormal():
            return scipy.stats.multivariate_normal(d.loc, d.covariance()).logpdf(x)
        case jd.Mixture():
            parts = scipy.stats.norm(d.components.loc, d.components.scale).pdf(x[..., None])
            return np.log(parts @ scipy.special.softmax(d.mixing.values))
        case jd.LogDensity():
            return scipy.stats.logistic(*d.args).logpdf(x)
    raise AssertionError(type(d))


def test_batches_of_families():
    """Fields are not broadcast; batch axes broadcast, and those of a mixture leave out the last."""
    loc = jnp.asarray(RNG.normal(size=(4, 3)))
    d = jd.Normal(loc, jnp.asarray(2.0))
    assert d.batch_shape == (4, 3) and d.scale.shape == ()
    wide = jd.Independent(d, 1)
    assert (wide.batch_shape, wide.event_shape) == ((4,), (3,))
    full = jd.MultivariateNormal(loc, jnp.eye(3))
    assert (full.batch_shape, full.event_shape) == ((4,), (3,))
    mixture = jd.Mixture(jd.probs([0.2, 0.3, 0.5]), d)
    assert (mixture.batch_shape, mixture.event_shape) == ((4,), ())
    data = jnp.asarray(RNG.normal(size=(10, 4, 3)))

    def results():
        yield d.sample(jr.key(0), (7,)), (7, 4, 3)
        yield full.sample(jr.key(0), (7,)), (7, 4, 3)
        yield mixture.sample(jr.key(0), (7,)), (7, 4)
        yield jd.entropy(d), (4, 3)
        yield jd.entropy(wide), (4,)
        yield jd.kl(d, jd.Normal(loc[0], 1.0)), (4, 3)
        yield jd.kl(full, jd.MultivariateNormal(loc[:, None], jnp.eye(3))), (4, 4)
        yield jd.cross_entropy(mixture, jd.Normal(0.0, 1.0)), (4,)
        yield jd.cross_entropy(jd.samples(data), d), (4, 3)
        yield jd.cross_entropy(jd.samples(jnp.moveaxis(data, 0, 2), axis=2), d), (4, 3)
        for estimator in (jd.Quadrature(), jd.FixedDraws(10)):
            p = jd.Normal(loc[:, :1], 1.0)
            yield jd.kl(p, mixture, estimator=estimator), (4, 4)
            yield jd.kl(mixture, p, estimator=estimator), (4, 4)

    got = jax.eval_shape(lambda: [value for value, _ in results()])
    want = jax.eval_shape(lambda: [jnp.zeros(shape) for _, shape in results()])
    assert [x.shape for x in got] == [x.shape for x in want]
    np.testing.assert_allclose(jd.cross_entropy(jd.PointMass(loc), d), -d.log_prob(loc))


def test_mixture_of_a_tuple_is_that_of_a_batch():
    loc, scale, weights = jnp.array([-1.0, 0.5, 2.0]), jnp.array([0.5, 1.0, 0.3]), [0.2, 0.3, 0.5]
    batch = jd.Mixture(jd.probs(weights), jd.Normal(loc, scale))
    parts = jd.Mixture(jd.probs(weights), tuple(map(jd.Normal, loc, scale)))
    q = jd.Normal(0.3, 1.4)
    x = jnp.linspace(-3, 3, 11)
    np.testing.assert_allclose(batch.log_prob(x), parts.log_prob(x), rtol=1e-14)
    np.testing.assert_allclose(jd.cross_entropy(batch, q), jd.cross_entropy(parts, q), rtol=1e-14)
    by_quadrature = jax.jit(lambda d: jd.kl(d, q, estimator=jd.Quadrature()))
    np.testing.assert_allclose(by_quadrature(batch), by_quadrature(parts), rtol=1e-11)
    draws = parts.sample(jr.key(0), (5000,))
    assert abs(draws.mean() - jnp.dot(loc, jnp.asarray(weights))) < 0.08


def test_mixture_of_multivariate_normals_and_of_independents():
    loc = jnp.asarray(RNG.normal(size=(3, 2)))
    factors = jnp.stack([jnp.asarray(tril(RNG, 2)) for _ in range(3)])
    q = jd.MultivariateNormal(jnp.zeros(2), 1.5 * jnp.eye(2))
    weights = jnp.array([0.2, 0.3, 0.5])
    for components in (
        jd.MultivariateNormal(loc, factors),
        jd.MultivariateNormal(loc, covariance_matrix=factors @ factors.mT),
        jd.MultivariateNormal(loc, jnp.eye(2)),  # one scale, shared by the components
        jd.Independent(jd.Normal(loc, jnp.array([0.5, 1.5])), 1),
    ):
        mixture = jd.Mixture(jd.probs(weights), components)
        assert (mixture.batch_shape, mixture.event_shape) == ((), (2,))
        closed, by_quadrature = jax.jit(
            lambda p: [jd.cross_entropy(p, q, estimator=how) for how in (None, jd.Quadrature())]
        )(mixture)
        want = jnp.dot(weights, jd.cross_entropy(components, q))
        np.testing.assert_allclose(closed, want, rtol=1e-13)
        np.testing.assert_allclose(by_quadrature, want, rtol=1e-9)


# Prefix trees.


def mapped(verb, **kwargs):
    return jax.jit(jax.vmap(verb, **kwargs))


def test_prefix_trees_in_vmap():
    over = mapped(jd.kl, in_axes=(jd.logits(0), jd.probs(None)))
    np.testing.assert_allclose(
        over(jd.logits(Z), jd.probs(ROWS[0])), jd.kl(jd.logits(Z), jd.probs(ROWS[0])), rtol=1e-13
    )
    where = jnp.asarray(RNG.uniform(size=Z.shape) < 0.7).at[..., 0].set(True)
    masked = jd.logits(Z, where=where)
    over = mapped(jd.kl, in_axes=(jd.logits(1, where=1), jd.log_probs(None)), out_axes=1)
    reference = jd.log_probs(jnp.log(ROWS[0, 0]))
    np.testing.assert_allclose(over(masked, reference), jd.kl(masked, reference), rtol=1e-13)
    loc = jnp.asarray(RNG.normal(size=(4, 3)))
    over = mapped(jd.kl, in_axes=(jd.Normal(0, None), None))
    p, q = jd.Normal(loc, jnp.asarray(2.0)), jd.Normal(0.0, 1.0)
    np.testing.assert_allclose(over(p, q), jd.kl(p, q), rtol=1e-14)
    over = mapped(jd.cross_entropy, in_axes=(jd.labels(0), jd.logits(0)))
    y = jd.labels(jnp.array([0, 1, 2, 3]))
    np.testing.assert_allclose(over(y, jd.logits(Z[:, 0])), jd.cross_entropy(y, jd.logits(Z[:, 0])))
    over = mapped(jd.cross_entropy, in_axes=(jd.samples(1), jd.Normal(0, None)))
    data = jnp.asarray(RNG.normal(size=(10, 4, 3)))
    np.testing.assert_allclose(
        over(jd.samples(data), p), jd.cross_entropy(jd.samples(data), p), rtol=1e-14
    )
    mixture = jd.Mixture(jd.probs(jnp.array([0.2, 0.3, 0.5])), p)
    prefix = jd.Mixture(jd.probs(None), jd.Normal(0, None))
    np.testing.assert_allclose(
        mapped(jd.cross_entropy, in_axes=(prefix, None))(mixture, q),
        jd.cross_entropy(mixture, q),
        rtol=1e-14,
    )


def test_fields_hold_what_they_were_given():
    spec = P("x")
    for tag in TAGS:
        assert tag(spec).values is spec and tag(0).values == 0 and tag(None).values is None
    assert jd.labels(spec).values is spec and jd.samples(0).values == 0
    assert jd.Normal(0, None) == jd.Normal(0, None)
    assert jax.tree.leaves(jd.Normal(1, None)) == [1]


# Value checks.


BAD = [
    (lambda check: jd.probs(jnp.array([0.6, 0.6]), check=check), "does not sum to 1"),
    (lambda check: jd.probs(jnp.array([1.5, -0.5]), check=check), "negative mass"),
    (lambda check: jd.probs(jnp.array([jnp.nan, 1.0]), check=check), "NaN outside the mask"),
    (lambda check: jd.log_probs(jnp.array([0.0, 0.0]), check=check), "does not sum to 1"),
    (lambda check: jd.log_probs(jnp.array([jnp.nan, 0.0]), check=check), "NaN"),
    (lambda check: jd.masses(jnp.array([-1.0, 3.0]), check=check), "negative mass"),
    (lambda check: jd.logits(jnp.array([jnp.nan, 0.0]), check=check), "NaN outside the mask"),
    (lambda check: jd.logits(jnp.array([jnp.inf, 0.0]), check=check), r"\+inf is not a logit"),
    (
        lambda check: jd.logits(jnp.zeros(2), temperature=jnp.asarray(0.0), check=check),
        "temperature must be positive",
    ),
    (lambda check: jd.labels(jnp.array(2), num_classes=2, check=check), "out of range"),
    (lambda check: jd.logits(jax.nn.softmax(jnp.arange(2.0)), check=check), "softmax would be"),
]
GOOD = [
    lambda check: jd.probs(jnp.array([0.25, 0.75]), check=check),
    lambda check: jd.probs(jnp.full(1000, 0.001, jnp.float32), check=check),
    lambda check: jd.probs(jnp.array([0.1, 0.9], jnp.bfloat16), check=check),
    lambda check: jd.probs(jnp.array([1.0, jnp.nan]), where=jnp.array([True, False]), check=check),
    lambda check: jd.log_probs(jnp.array([0.0, -jnp.inf]), check=check),
    lambda check: jd.masses(jnp.array([3.0, 0.0]), check=check),
    lambda check: jd.logits(jnp.array([300.0, -jnp.inf]), check=check),
    lambda check: jd.logits(jnp.zeros(70_000, jnp.bfloat16), check=check),
    lambda check: jd.logits(jnp.array([[0.2, 0.8], [1.0, 0.3]]), check=check),
    lambda check: jd.labels(jnp.array(-1), num_classes=2, ignore=-1, check=check),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_values_raise_when_asked(make, message):
    """By `check=True` and under `checked`; eager and jitted alike; and never unasked."""
    other = jd.masses(jnp.ones(2))

    def value(check):
        return jd.kl(make(check), other)

    value(False)
    for run in (lambda: value(True), lambda: jax.jit(lambda: value(True))()):
        with pytest.raises((RuntimeError, eqx.EquinoxRuntimeError), match=message):
            jax.block_until_ready(run())
    for run in (lambda: value(False), jax.jit(lambda: value(False))):
        with pytest.raises(JaxRuntimeError, match=f"p: .*{message}"):
            jd.checked(run)()


@pytest.mark.parametrize("make", GOOD)
def test_good_values_pass_the_checks(make):
    dtype = jnp.float32 if make(False).values.dtype in (jnp.float32, jnp.bfloat16) else jnp.float64
    other = jd.masses(jnp.ones(make(False).num_outcomes, dtype))
    plain = jd.kl(make(False), other)
    np.testing.assert_array_equal(jd.kl(make(True), other), plain)
    np.testing.assert_array_equal(jd.checked(lambda: jd.kl(make(False), other))(), plain)


def test_errors_name_the_row():
    rows = jnp.array([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.7, 0.5]]])

    def total(p):
        return jnp.sum(jd.entropy(jd.probs(p, check=True)))

    lanes = jax.vmap(total)
    for run in (total, jax.jit(jax.grad(total)), jax.jit(lanes)):
        with pytest.raises(RuntimeError, match=r"does not sum to 1 .*first in row \[1 1\]"):
            jax.block_until_ready(run(rows))
        assert jnp.isfinite(jax.block_until_ready(run(rows[:1]))).all()
    with pytest.raises(JaxRuntimeError, match=r"p: probs: a row .* first in row \[1 1\]"):
        jd.checked(lambda p: jd.entropy(jd.probs(p)))(rows)
    with pytest.raises(JaxRuntimeError, match=r"Normal: scale must be .* at index \[2\]"):
        jd.checked(jd.entropy)(jd.Normal(0.0, jnp.array([1.0, 2.0, 0.0])))


@pytest.mark.parametrize("tag", [jd.logits, jd.probs])
def test_checked_labels_learn_the_classes_from_the_other_operand(tag):
    q = tag(jnp.full((3, 2), 0.5 if tag is jd.probs else 0.0))
    safe = jd.checked(lambda y: jd.cross_entropy(jd.labels(y, ignore=-1), q))
    with pytest.raises(JaxRuntimeError, match=r"a label is out of range, first in row \[2\]"):
        safe(jnp.array([0, -1, 2]))
    np.testing.assert_allclose(safe(jnp.array([0, -1, 1])), [math.log(2), 0, math.log(2)])


def test_checked_looks_at_every_operand():
    safe = jd.checked(lambda p, q: jd.kl(p, q))
    good = jd.Normal(0.0, 1.0)
    covariance = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    for bad, message in [
        (jd.Normal(0.0, -1.0), "scale must be positive"),
        (jd.Normal(0.0, jnp.nan), "scale must be positive"),
    ]:
        for args, name in (((bad, good), "p"), ((good, bad), "q")):
            with pytest.raises(JaxRuntimeError, match=f"{name}: Normal: {message}"):
                safe(*args)
    with pytest.raises(JaxRuntimeError, match="positive definite"):
        jd.checked(jd.entropy)(jd.MultivariateNormal(jnp.zeros(2), covariance_matrix=covariance))
    with pytest.raises(JaxRuntimeError, match="positive diagonal"):
        jd.checked(jd.entropy)(jd.MultivariateNormal(jnp.zeros(2), -jnp.eye(2)))
    with pytest.raises(JaxRuntimeError, match="scale must be positive"):
        jd.checked(jd.entropy)(jd.Independent(jd.Normal(jnp.zeros(2), -1.0), 1))
    for mixture, message in [
        (jd.Mixture(jd.probs([0.5, 0.6]), jd.Normal(jnp.zeros(2), 1.0)), "does not sum to 1"),
        (jd.Mixture(jd.probs([0.5, 0.5]), jd.Normal(jnp.zeros(2), -1.0)), "scale must be"),
    ]:
        with pytest.raises(JaxRuntimeError, match=message):
            jd.checked(jd.cross_entropy)(mixture, good)
    for observed in (jd.PointMass(jnp.nan), jd.samples([0.0, jnp.inf])):
        with pytest.raises(JaxRuntimeError, match="must be finite"):
            jd.checked(jd.cross_entropy)(observed, good)
    assert safe(good, jd.Normal(1.0, 1.0)) == 0.5


def test_checked_under_transforms():
    def loss(z):
        return jd.kl(jd.logits(z), jd.logits(jnp.array([0.5, 0.2])))

    z = jnp.array([0.3, -0.1])
    np.testing.assert_allclose(jd.checked(jax.jit(jax.grad(loss)))(z), jax.grad(loss)(z))
    with pytest.raises(JaxRuntimeError, match="NaN outside the mask"):
        jd.checked(jax.jit(jax.grad(loss)))(z * jnp.nan)


# mean.


VALUES = jnp.asarray(RNG.normal(size=(4, 3)))
KEEP = jnp.asarray(RNG.uniform(size=(4, 3)) < 0.6).at[0, 0].set(False)
WEIGHTS = jnp.asarray(RNG.uniform(size=(4, 3)))


def test_mean_is_one_ratio_over_all_axes():
    v, keep, w = (np.asarray(x) for x in (VALUES, KEEP, WEIGHTS))
    np.testing.assert_allclose(jd.mean(VALUES), v.mean())
    np.testing.assert_allclose(jd.mean(VALUES, where=KEEP), v[keep].mean())
    np.testing.assert_allclose(jd.mean(VALUES, weights=WEIGHTS), np.average(v, weights=w))
    both = jd.mean(VALUES, where=KEEP, weights=WEIGHTS)
    np.testing.assert_allclose(both, np.average(v[keep], weights=w[keep]))
    np.testing.assert_allclose(jd.mean(VALUES, where=KEEP, count=7), v[keep].sum() / 7)
    np.testing.assert_allclose(jd.mean(VALUES, where=KEEP[:1]), v[:, keep[0]].mean())
    assert jd.mean(VALUES.astype(jnp.float32), weights=WEIGHTS).dtype == jnp.float32
    assert jnp.isnan(jd.mean(VALUES, where=False))


def test_mean_silences_what_does_not_count():
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        spoilt = VALUES.at[0, 0].set(bad)
        for kwargs in ({"where": KEEP}, {"weights": jnp.where(KEEP, WEIGHTS, 0.0)}):
            value, slope = jax.value_and_grad(lambda v, kw=kwargs: jd.mean(v, **kw))(spoilt)
            np.testing.assert_array_equal(value, jd.mean(VALUES, **kwargs))
            assert slope[0, 0] == 0 and jnp.isfinite(slope).all()
    assert jd.mean(VALUES.at[0, 0].set(jnp.inf)) == jnp.inf


def test_mean_over_an_axis_name_is_global():
    """The ratio of the sums, not the mean of the means."""
    per_row = jax.vmap(
        lambda v, k, w: jd.mean(v, where=k, weights=w, axis_name="i"), axis_name="i"
    )(VALUES, KEEP, WEIGHTS)
    whole = jd.mean(VALUES, where=KEEP, weights=WEIGHTS)
    np.testing.assert_allclose(per_row, jnp.full(4, whole), rtol=1e-14)


def test_mean_by_segments():
    v, ids = VALUES.reshape(-1), jnp.array([0, 0, 1, 1, 1, 3, 3, 3, 3, 0, 1, 0])
    got = jd.mean(v, segment_ids=ids, num_segments=4)
    want = [np.asarray(v)[np.asarray(ids) == k].mean() for k in (0, 1, 3)]
    np.testing.assert_allclose(got[jnp.array([0, 1, 3])], want)
    assert jnp.isnan(got[2])


def test_mean_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"where of shape \(5,\) does not broadcast"):
        jd.mean(VALUES[:, 0], where=jnp.ones(5, bool))
    with pytest.raises(ValueError, match=r"weights of shape \(2, 4, 3\)"):
        jd.mean(VALUES, weights=jnp.ones((2, 4, 3)))
    with pytest.raises(ValueError, match="num_segments"):
        jd.mean(VALUES[:, 0], segment_ids=jnp.zeros(4, int))
    with pytest.raises(ValueError, match="num_segments"):
        jd.mean(VALUES, segment_ids=jnp.zeros(4, int), num_segments=1)

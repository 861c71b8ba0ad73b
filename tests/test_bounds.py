"""Bounds between mixtures: on either side of sums over a grid, and exact where they are."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiv as jd

COUNT = 100  # mixtures in each dimension
BOUNDS = (jd.LowerBound(), jd.UpperBound())


def mixtures(size, parts, seed, spread):
    """A batch of them; one in four has components that nearly coincide."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(parts), COUNT)
    loc = rng.uniform(-1, 1, (COUNT, parts, size)) * spread
    loc[::4] = loc[::4, :1] + 0.1 * loc[::4]
    scale = np.exp(rng.uniform(-0.5, 0.3, (COUNT, parts, size)))
    if parts > 2:
        weights[::5, 0], weights[::5, 1] = 0, weights[::5, 0] + weights[::5, 1]
    tilt = 0.4 * rng.normal(size=(COUNT, parts, size, size))
    tril = np.tril(tilt, -1) + scale[..., None] * np.eye(size)
    return weights, loc, tril


def in_jaxdiv(weights, loc, tril):
    if loc.shape[-1] == 1:
        normals = jd.Normal(jnp.asarray(loc[..., 0]), jnp.asarray(tril[..., 0, 0]))
    else:
        normals = jd.MultivariateNormal(jnp.asarray(loc), jnp.asarray(tril))
    return jd.Mixture(jd.probs(jnp.asarray(weights)), normals)


def densities(mixture, x):
    weights, loc, tril = mixture
    z = (x - loc[..., None, :]) @ np.linalg.inv(tril).mT
    volume = np.log(np.diagonal(tril, axis1=-2, axis2=-1)).sum(-1)[..., None]
    log_each = -0.5 * (z * z).sum(-1) - volume - 0.5 * loc.shape[-1] * math.log(2 * math.pi)
    return (weights[..., None] * np.exp(log_each)).sum(-2)


def truth(p, q):
    """Entropy and KL by the trapezoidal rule, which converges exponentially here."""
    size = p[1].shape[-1]
    axis = np.linspace(-11, 11, 2000 if size == 1 else 200)
    x = np.stack(np.meshgrid(*[axis] * size), -1).reshape(-1, size)
    cell = (axis[1] - axis[0]) ** size
    out = []
    for i in range(COUNT):
        a, b = (densities(tuple(part[i] for part in d), x) for d in (p, q))
        assert abs(a.sum() * cell - 1) < 1e-9
        inside = a > 1e-290
        a, b = a[inside], np.maximum(b[inside], 1e-300)
        out.append((-(a * np.log(a)).sum() * cell, (a * np.log(a / b)).sum() * cell))
    return np.array(out).T


@pytest.mark.parametrize("size", [1, 2])
def test_truth_lies_between(size):
    p, q = mixtures(size, 3, 0, 2.5), mixtures(size, 2, 1, 2.5)
    entropy, kl = truth(p, q)
    ours = in_jaxdiv(*p), in_jaxdiv(*q)

    @jax.jit
    def bounds(p, q):
        entropies = [jd.entropy(p, estimator=e) for e in BOUNDS]
        return entropies, [jd.kl(p, q, estimator=e) for e in BOUNDS]

    (low, high), (below, above) = bounds(*ours)
    assert low.shape == below.shape == (COUNT,)
    assert (low <= entropy + 1e-7).all() and (entropy <= high + 1e-7).all()
    assert (below <= kl + 1e-6 * (1 + kl)).all() and (kl <= above + 1e-6 * (1 + kl)).all()


def test_exact_where_they_are():
    p, q = jd.Normal(0.3, 0.7), jd.Normal(-0.4, 1.3)
    weights = jnp.array([0.3, 0.7])

    def mixed(loc, scale, weights=weights):
        return jd.Mixture(jd.probs(weights), jd.Normal(jnp.asarray(loc), jnp.asarray(scale)))

    copies, others = mixed([0.3, 0.3], [0.7, 0.7]), mixed([-0.4, -0.4], [1.3, 1.3], weights[::-1])
    apart, near = mixed([-30.0, 30.0], 0.7), mixed([-30.0, 30.1], 0.7)
    every = (*BOUNDS, jd.VariationalApproximation())

    @jax.jit
    def values():
        kls = [jd.kl(d, q, estimator=e) for d in (p, copies) for e in every]
        entropies = [jd.entropy(d, estimator=e) for d in (p, copies) for e in BOUNDS]
        separate = [jd.entropy(apart, estimator=e) for e in BOUNDS]
        above = [
            jd.kl(*pair, estimator=jd.UpperBound()) for pair in ((copies, others), (apart, near))
        ]
        return kls, entropies, separate, above

    kls, entropies, separate, above = values()
    np.testing.assert_allclose(kls, jd.kl(p, q), rtol=1e-14)
    np.testing.assert_allclose(entropies, jd.entropy(p), rtol=1e-14)
    np.testing.assert_allclose(separate, jd.entropy(p) + jd.entropy(jd.probs(weights)), rtol=1e-14)
    assert float(above[0]) == pytest.approx(float(jd.kl(p, q)), rel=1e-12)
    assert float(above[1]) == pytest.approx(0.7 * 0.005 / 0.49, rel=1e-12)  # each to its own


def test_components_of_any_kind():
    """A tuple of them, more batch axes than one, products, and bounded supports."""
    weights = jd.probs(jnp.array([0.4, 0.6]))
    listed = jd.Mixture(weights, (jd.Normal(0.0, 1.0), jd.Normal(0.5, 0.7)))
    stacked = jd.Mixture(weights, jd.Normal(jnp.array([0.0, 0.5]), jnp.array([1.0, 0.7])))
    uniform = jd.Mixture(weights, jd.Uniform(jnp.array([0.0, 2.0]), 3.0))
    wide = jd.Independent(jd.Normal(jnp.arange(12.0).reshape(2, 3, 2), 1.0), 1)
    product = jd.Mixture(jd.probs(jnp.full(3, 1 / 3)), wide)

    @jax.jit
    def values():
        same = [jd.kl(d, stacked, estimator=BOUNDS[0]) for d in (listed, stacked)]
        lost = [jd.kl(uniform, jd.Uniform(1.0, 3.0), estimator=e) for e in BOUNDS]
        kept = [jd.kl(jd.Uniform(2.5, 3.0), uniform, estimator=e) for e in BOUNDS]
        return same, lost, kept, jd.kl(product, product, estimator=BOUNDS[1])

    same, lost, kept, many = values()
    np.testing.assert_allclose(*same, atol=1e-15)
    want = math.log(2) - math.log(0.4 / 3 + 0.6)
    assert lost == [jnp.inf] * 2 and kept[0] < want
    assert float(kept[1]) == pytest.approx(want, rel=1e-14)
    assert many.shape == (2,)


def test_what_is_known_of_the_error():
    weights = jd.probs(jnp.array([0.4, 0.6]))
    p = jd.Mixture(weights, jd.Normal(jnp.array([0.0, 0.5]), 1.0))

    @jax.jit
    def estimates():
        above = jd.estimate(jd.KL(), p, jd.Normal(0.0, 0.8), jd.UpperBound(1))
        below = jd.estimate(jd.Entropy(), p, None, jd.LowerBound())
        return above, below, jd.estimate(jd.KL(), p, p, jd.VariationalApproximation())

    above, below, about = estimates()
    assert above.bound == "upper" and jnp.isnan(above.standard_error)
    assert below.bound == "lower" and about.bound is None and abs(about.value) < 1e-15
    for e in (*BOUNDS, jd.VariationalApproximation()):
        with pytest.raises(TypeError, match="serves KL and Entropy, got Renyi"):
            jd.renyi(p, p, 0.5, estimator=e)
        with pytest.raises(TypeError, match="serves mixtures of distributions with densities"):
            jd.kl(weights, weights, estimator=e)
    students = jd.Mixture(weights, jd.StudentT(3.0, jnp.zeros(2), 1.0))
    with pytest.raises(jd.NoClosedFormError):
        jd.entropy(students, estimator=jd.UpperBound())
    with pytest.raises(TypeError, match="is of KL"):
        jd.entropy(p, estimator=jd.VariationalApproximation())
    with pytest.raises(ValueError, match="num_steps"):
        jd.UpperBound(0)


@pytest.mark.exhaustive
def test_gradients():
    """Finite with weights of zero, too; of the iterated bound those of its limit."""

    def value(fields):
        p = jd.Mixture(jd.probs(fields[0]), jd.Normal(fields[1], fields[2]))
        q = jd.Mixture(jd.logits(fields[3]), jd.Normal(fields[4], 1.1))
        parts = [jd.kl(p, q, estimator=e) + 2 * jd.entropy(p, estimator=e) for e in BOUNDS]
        return parts[0] + 3 * parts[1]

    slopes = jax.jit(jax.value_and_grad(value))
    loc, scale = jnp.array([-1.0, 0.2, 1.3]), jnp.array([0.5, 0.4, 0.6])
    fields = (jnp.array([0.3, 0.0, 0.7]), loc, scale, jnp.array([0.2, -jnp.inf]), loc[:2])
    for leaf in jax.tree.leaves(slopes(fields)):
        assert jnp.isfinite(leaf).all()
    fields = (jnp.array([0.3, 0.1, 0.6]), loc, scale, jnp.array([0.2, -0.4]), loc[:2])
    _, got = slopes(fields)
    for i, move in enumerate([[1.0, -3.0, 2.0], *[[0.7, -0.4, 0.5]] * 4]):
        move = 1e-6 * jnp.asarray(move[: len(fields[i])])
        high, low = (
            slopes((*fields[:i], fields[i] + s * move, *fields[i + 1 :]))[0] for s in (1, -1)
        )
        assert float(got[i] @ move) == pytest.approx(float(high - low) / 2, rel=1e-4, abs=1e-10)

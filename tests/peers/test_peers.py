"""Other libraries' distributions, each against what its own library says of it."""

import contextlib

import distrax
import distreqx.bijectors as dqb
import distreqx.distributions as dq
import equinox as eqx
import flowjax.bijections as fb
import flowjax.distributions as fd
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as nd
import pytest
import scipy.stats
import tensorflow_probability.substrates.jax as tfp

import jaxdiv as jd
from jaxdiv._compat.convert import _library_of
from jaxdiv._operand.foreign import Foreign

from .cases import LIBRARIES, PARAMETERS

tfb, tfd = tfp.bijectors, tfp.distributions
KEY = jax.random.key(0)

NORMAL = {
    "numpyro": nd.Normal,
    "tfp": tfd.Normal,
    "distrax": distrax.Normal,
    "distreqx": dq.Normal,
    "flowjax": fd.Normal,
}
OWN_KL = {
    "numpyro": nd.kl_divergence,
    "tfp": tfd.kl_divergence,
    "distrax": lambda p, q: p.kl_divergence(q),
    "distreqx": lambda p, q: p.kl_divergence(q),
    "flowjax": lambda p, q: tfd.kl_divergence(  # it has none
        tfd.Normal(p.loc, p.scale), tfd.Normal(q.loc, q.scale)
    ),
}
# Of no family here, and with the divergence that two of Cauchy's, or two normals, have.
OF_NO_FAMILY = {
    "numpyro": (lambda m, s: nd.HalfCauchy(s), lambda m, s: jd.Cauchy(0.0, s)),
    "tfp": (lambda m, s: tfb.Tanh()(tfd.Normal(m, s)), jd.Normal),
    "distrax": (lambda m, s: distrax.Transformed(distrax.Normal(m, s), distrax.Tanh()), jd.Normal),
    "distreqx": (lambda m, s: dq.Transformed(dq.Normal(m, s), dqb.Tanh()), jd.Normal),
    "flowjax": (lambda m, s: fd.Transformed(fd.Normal(m, s), fb.Tanh()), jd.Normal),
}
libraries = pytest.mark.parametrize("library", LIBRARIES)


def _points(d):
    """A few outcomes within the support, `[n, *batch, *event]`."""
    shape = (*d.batch_shape, *d.event_shape)
    if isinstance(d, jd.Wishart | jd.InverseWishart):
        at = jnp.array([[[1.2, 0.3], [0.3, 0.8]], [[0.5, -0.4], [-0.4, 2.0]]])
    elif isinstance(d, jd.VonMisesFisher | jd.PowerSpherical):
        at = jnp.array([[0.6, 0.0, -0.8], [0.48, 0.6, 0.64]])
    elif isinstance(d, jd.Dirichlet):
        at = jnp.array([[0.3, 0.3, 0.4], [0.1, 0.2, 0.7]])
    elif isinstance(d, jd.Multinomial):
        at = jnp.array([[1.0, 1.0, 2.0], [0.0, 3.0, 1.0]])
    else:
        low, high = d.support
        steps = jnp.array([0.0, 1.0, 2.0]) if d.integer else jnp.array([0.2, 0.5, 0.9])
        steps = steps.reshape(3, *(1,) * len(shape))
        if d.integer:
            x = jnp.minimum(low + steps, high) * jnp.ones(shape)
            return x.astype(int) if isinstance(d, jd.Independent) else x  # of classes
        # The coordinates of an outcome differ.
        steps = steps * jnp.cos(jnp.arange(np.prod(shape))).reshape(shape) ** 2
        if np.ndim(low) or low > -np.inf:
            return low + (high - low) * steps if np.ndim(high) or high < np.inf else low + 3 * steps
        return 4 * steps - 1
    return jnp.broadcast_to(at.reshape(2, *(1,) * len(d.batch_shape), *at.shape[1:]), (2, *shape))


def _compare(theirs, ours):
    """Pairs of what must be equal, by either."""
    if isinstance(ours, jd.PointMass):
        return [(theirs.mean, ours.x)]
    if isinstance(ours, jd.Bernoulli) or type(ours).__name__ in ("Logits", "LogProbs", "Probs"):
        n = ours.num_outcomes
        x = jnp.arange(n).reshape(n, *(1,) * len(ours.batch_shape))
        x = jnp.broadcast_to(x, (n, *ours.batch_shape))
        if theirs.event_shape:  # one-hot
            x = jax.nn.one_hot(x, n)
        return [(jnp.moveaxis(theirs.log_prob(x), 0, -1), ours.log_mass(None))]
    x = _points(ours)
    pairs = [(theirs.log_prob(x), ours.log_prob(x))]
    # NumPyro 0.22 is wrong about variances off the diagonal, TFP from the seventh digit on.
    off = theirs.name in ("InverseWishart", "ContinuousBernoulli")
    for moment in ("mean",) if off else ("mean", "variance"):
        with contextlib.suppress(jd.NoClosedFormError, AttributeError):  # not all know them
            pairs.append((getattr(theirs, moment), getattr(ours, moment)))
    return pairs


@libraries
def test_is_the_same_distribution(library):
    """Made of traced parameters: in its own library's words and in ours."""
    names = []

    @jax.jit
    def compare(parameters):
        pairs = []
        for obj, family in LIBRARIES[library](**parameters):
            ours, theirs = jd.as_distribution(obj), Foreign(obj, _library_of(obj))
            name = "Foreign" if family is None else getattr(family, "__name__", family)
            assert type(ours).__name__ == name, type(obj)
            if family is None:
                continue
            if not isinstance(ours, jd.PointMass) and theirs.event_shape == ours.event_shape:
                assert theirs.batch_shape == ours.batch_shape, type(obj)
            found = _compare(theirs, ours)
            names.extend(f"{type(obj).__name__} {i}" for i in range(len(found)))
            pairs.extend(found)
        return pairs

    pairs = compare(PARAMETERS)
    assert len(names) > 15
    for name, (theirs, ours) in zip(names, pairs, strict=True):
        assert jnp.shape(theirs) == ours.shape, name
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11, err_msg=name)


@libraries
def test_under_transformations(library):
    make, own = NORMAL[library], OWN_KL[library]
    f = jnp.array
    q = make(f(0.5), f(2.0))

    def kl(m, s):
        return jd.kl(make(m, s), q)

    m, s = f([0.1, -1.0, 3.0]), f([1.0, 0.5, 2.5])
    expected = f([own(make(m, s), q) for m, s in zip(m, s, strict=True)])
    np.testing.assert_allclose(jax.jit(jax.vmap(kl))(m, s), expected, rtol=1e-12)
    slopes = jax.jit(jax.vmap(jax.grad(kl, (0, 1))))(m, s)
    np.testing.assert_allclose(slopes[0], (m - 0.5) / 4, rtol=1e-12)
    np.testing.assert_allclose(slopes[1], s / 4 - 1 / s, rtol=1e-12)
    # As arguments: pytrees all, flowjax's with leaves that are no arrays.
    jit, vmap, grad = jax.jit, jax.vmap, jax.grad
    if library == "flowjax":
        jit, vmap, grad = eqx.filter_jit, eqx.filter_vmap, eqx.filter_grad
    batch = vmap(make)(m, s)
    values = jit(vmap(lambda p: jd.kl(p, q)))(batch)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    slope = jit(grad(lambda p: jd.kl(p, q)))(make(f(3.0), f(2.0)))
    np.testing.assert_allclose(slope.loc, 2.5 / 4, rtol=1e-12)
    np.testing.assert_allclose(
        jd.pairwise(jd.KL(), batch, batch)[:, 0], jd.kl(batch, make(f(0.1), f(1.0))), atol=1e-15
    )


@libraries
def test_of_no_family(library):
    make, known = OF_NO_FAMILY[library]
    q = make(0.5, 2.0)

    @jax.jit
    def both(m, s):
        estimator = jd.FixedDraws(20_000)
        return (
            jd.estimate(jd.KL(), make(m, s), q, estimator),
            jax.grad(lambda s: jd.kl(make(m, s), q, estimator=estimator))(s),
            jd.kl(known(m, s), known(0.5, 2.0)),
            jax.grad(lambda s: jd.kl(known(m, s), known(0.5, 2.0)))(s),
        )

    found, slope, value, exact_slope = both(0.2, 1.5)
    assert abs(found.value - value) < 4 * found.standard_error < 0.1
    assert abs(slope - exact_slope) < 0.05
    with pytest.raises(jd.NoClosedFormError, match=type(q).__name__):
        jd.kl(q, jd.Gamma(1.0, 1.0))
    with pytest.raises(ValueError, match="MonteCarlo"):
        jd.kl(q, q, estimator=jd.Quadrature())


@pytest.mark.parametrize("library", [*LIBRARIES, "scipy"])
def test_fit(library):
    if library == "scipy":
        target, family = scipy.stats.norm(1.5, 0.7), scipy.stats.norm(0.0, 1.0)
        assert jd.fit(jd.reverse_kl(target), family).distribution.loc == pytest.approx(1.5)
        return
    make = NORMAL[library]
    target = make(jnp.array(1.5), jnp.array(0.7))
    family = make(jnp.array(0.0), jnp.array(1.0))
    for objective in (jd.Forward(jd.KL(), target), jd.Reverse(jd.KL(), target)):
        forward = isinstance(objective, jd.Forward)
        p, q = (target, family) if forward else (family, target)
        np.testing.assert_allclose(objective(family, None), OWN_KL[library](p, q), rtol=1e-12)
    found = jd.fit(jd.reverse_kl(target), family)
    assert isinstance(found.distribution, jd.Normal)
    np.testing.assert_allclose(found.distribution.loc, 1.5, rtol=1e-6)
    np.testing.assert_allclose(found.distribution.scale, 0.7, rtol=1e-6)


def test_fit_to_a_target_of_no_family():
    """Maximum likelihood in the limit: the half-normal with the second moment of the target."""
    target = nd.TruncatedNormal(0.0, 1.0, low=0.0)
    found = jd.fit(jd.forward_kl(target), jd.HalfNormal(2.0))
    assert abs(found.distribution.scale - 1) < 0.1
    with pytest.raises(TypeError, match="of no family here"):
        jd.fit(jd.reverse_kl(jd.Normal(0.0, 1.0)), nd.HalfCauchy(1.0))


def test_joint_distributions_of_independent_parts():
    def joints(rate):
        parts = {"a": tfd.Normal(0.0, 1.0), "b": tfd.Gamma(2.0, rate)}
        return tfd.JointDistributionNamed(parts), tfd.JointDistributionSequential([*parts.values()])

    for p, q in zip(joints(1.0), joints(3.0), strict=True):
        want = tfd.kl_divergence(tfd.Gamma(2.0, 1.0), tfd.Gamma(2.0, 3.0))
        np.testing.assert_allclose(jd.kl(p, q), want, rtol=1e-9)


def test_what_cannot_be_an_operand():
    p = jd.Normal(0.0, 1.0)
    mask = jnp.array([True, False])
    for masked in (nd.Normal(0.0, 1.0).mask(mask), tfd.Masked(tfd.Normal([0.0, 1.0], 1.0), mask)):
        with pytest.raises(TypeError, match="no distribution's"):
            jd.kl(masked, p)
    joint = tfd.JointDistributionSequential([tfd.HalfCauchy(0.0, 1.0), tfd.HalfCauchy(0.0, 1.0)])
    with pytest.raises(TypeError, match="several parts"):
        jd.kl(joint, p)
    flow = fd.Transformed(fd.StandardNormal((2,)), fb.AdditiveCondition(lambda x: x, (2,), (2,)))
    with pytest.raises(TypeError, match="conditional"):
        jd.kl(flow, p)
    levy = nd.Levy(jnp.ones(3), jnp.ones(3))
    with pytest.raises(ValueError, match="vmapped"):
        jax.vmap(lambda d: jd.kl(d, p, estimator=jd.FixedDraws(10)))(levy)
    with pytest.raises(TypeError, match="numpyro, distrax"):
        jd.kl(nd.Normal, p)


def test_a_subclass_is_taken_at_its_word():
    class Mine(nd.Normal):
        def log_prob(self, value, intermediates=None):
            return super().log_prob(value / 2) - jnp.log(2)

        def sample(self, key, sample_shape=()):
            return 2 * super().sample(key, sample_shape)

    value = jd.kl(Mine(0.0, 1.0), jd.Normal(0.0, 2.0), estimator=jd.FixedDraws(100))
    np.testing.assert_allclose(value, 0.0, atol=1e-12)

"""The derivative of an optimum: against closed forms and finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import jaxdiv as jd


def moments(weight, mode, scale):
    """Of a mixture of two normals at +-mode: what forward KL to a normal fits."""
    mean = mode * (1 - 2 * weight)
    return jnp.stack([mean, jnp.sqrt(scale**2 + mode**2 - mean**2)])


def mixture(weight, mode, scale):
    components = jd.Normal(jnp.stack([-mode, mode]), scale)
    return jd.Mixture(jd.probs(jnp.stack([weight, 1 - weight])), components)


def test_forward_fit_moves_as_the_moments_do():
    def fitted(parameters):
        found = jd.fit(jd.forward_kl(mixture(*parameters)), jd.Normal(0.3, 1.0))
        return jnp.stack([found.distribution.loc, found.distribution.scale])

    at = jnp.array([0.7, 2.0, 0.5])
    jacobian = jax.jit(jax.jacrev(fitted))(at)
    np.testing.assert_allclose(jacobian, jax.jacobian(lambda x: moments(*x))(at), atol=1e-8)


def test_reverse_fit_of_a_quadratic_target():
    # Of exp(-a (x - c)^2 / 2 - b x): at c - b / a, with the scale a^-1/2.
    def fitted(a, b, c):
        found = jd.fit(jd.reverse_kl(jd.Normal(c - b / a, a**-0.5)), jd.Normal(0.1, 1.0))
        return found.distribution.loc, found.distribution.scale

    a, b, c = 2.0, 0.7, -1.0
    loc, scale = jax.jit(jax.jacfwd(fitted, (0, 1, 2)))(a, b, c)
    np.testing.assert_allclose(loc, [b / a**2, -1 / a, 1.0], atol=1e-8)
    np.testing.assert_allclose(scale, [-0.5 * a**-1.5, 0, 0], atol=1e-8)


def test_influence_of_each_datum():
    x = jnp.array([1.0, 2.5, 3.0, 7.0])

    def fitted(x):
        found = jd.fit(jd.forward_kl(jd.samples(x)), jd.Normal(0.0, 1.0))
        values = jnp.stack([found.distribution.loc, found.distribution.scale, found.value])
        return values, found.distribution

    (loc, scale, value), q = jax.jit(jax.jacrev(fitted, has_aux=True))(x)
    np.testing.assert_allclose(loc, np.full(4, 0.25), atol=1e-8)
    np.testing.assert_allclose(scale, (x - q.loc) / (4 * q.scale), atol=1e-8)
    np.testing.assert_allclose(value, (x - q.loc) / (4 * q.scale**2), atol=1e-8)


class Quartic(eqx.Module):
    """A double well whose lower minimum is on the left, and moves with `centre`."""

    centre: jax.Array

    def __call__(self, family, key):
        x = family.loc
        tilt = 0.1 * x * self.centre
        return (x * x - self.centre) ** 2 + tilt + family.scale - jnp.log(family.scale)


def test_batches_and_other_starts():
    def best(centre, loc):
        family = jd.Normal(loc, 1.0)
        found = jd.fit(Quartic(centre), family, jd.newton(), starts=3, key=jr.key(0))
        return found.distribution.loc

    step = 1e-4
    program = jax.jit(jax.vmap(jax.value_and_grad(best, (0, 1))))
    centres = jnp.array([2.0 - step, 2.0, 2.0 + step])
    locs, (slopes, at_start) = program(centres, jnp.full(3, 0.5))
    np.testing.assert_allclose(slopes[1], (locs[2] - locs[0]) / (2 * step), rtol=1e-6)
    np.testing.assert_array_equal(at_start, 0)  # where a fit begins does not matter


class Valley(eqx.Module):
    """Without an optimum: flat in the scale."""

    centre: jax.Array

    def __call__(self, family, key):
        return (family.loc - self.centre) ** 2


def test_where_there_is_no_derivative():
    def lost(centre):
        found = jd.fit(Valley(centre), jd.Normal(0.0, 1.0), jd.newton(), throw=False)
        return found.distribution.loc

    assert jnp.isnan(jax.grad(lost)(1.0))

    def sampled(loc, **kwargs):
        target = jd.reverse_kl(jd.Normal(loc, 1.0), **kwargs)
        optim = optax.adam(0.1)
        return jd.fit(target, jd.Normal(0.0, 1.0), optim, num_steps=3, key=jr.key(0)).value

    for estimator in (jd.MonteCarlo(4), jd.FixedDraws(4, gradient=jd.StickTheLanding())):
        with pytest.raises(NotImplementedError, match="implicit"):
            jax.grad(sampled)(1.0, estimator=estimator)

"""Free coordinates: exact at the start, inside the constraint everywhere, of minimal dimension."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import jaxdiv as jd
from jaxdiv._operand.base import field

TRIL = jnp.array([[1.3, 0.0, 0.0], [-0.4, 0.7, 0.0], [0.2, 5.0, 1e-3]])


class Frozen(eqx.Module):
    loc: jax.Array
    table: jax.Array = field(constraint="fixed")
    inner: jd.Normal = field(constraint="fixed")


FAMILIES = {
    "normal": (jd.Normal(0.3, 2.0), 2),
    "normal32": (jd.Normal(jnp.float32(0.3), 1e-20), 2),
    "independent": (jd.Independent(jd.Normal(jnp.arange(3.0), jnp.array([1e-8, 1.0, 1e8])), 1), 6),
    "cholesky": (jd.MultivariateNormal(jnp.zeros(3), TRIL), 9),
    "covariance": (jd.MultivariateNormal(jnp.zeros(3), covariance_matrix=TRIL @ TRIL.T), 9),
    "mixture": (
        jd.Mixture(jd.probs([0.2, 0.3, 0.5]), jd.Normal(jnp.arange(3.0), jnp.ones(3))),
        2 + 6,
    ),
    "mixture_of_logits": (
        jd.Mixture(jd.logits([0.2, -0.3]), jd.MultivariateNormal(jnp.zeros((2, 3)), jnp.eye(3))),
        1 + 6 + 6,
    ),
    "mixture_of_log_probs": (
        jd.Mixture(jd.log_probs(jnp.log(jnp.array([0.25, 0.75]))), (jd.Normal(0, 1),) * 2),
        1 + 4,
    ),
    "masses": (jd.masses([1.0, 2.0, 3.0]), 3),
    "frozen": (Frozen(jnp.zeros(2), jnp.arange(3), jd.Normal(0.0, 1.0)), 2),
}


@pytest.fixture(params=FAMILIES)
def case(request):
    return FAMILIES[request.param]


def size(free):
    return sum(leaf.size for leaf in jax.tree.leaves(free))


def test_dimension_is_minimal(case):
    family, dimension = case
    free, _ = jd.unconstrain(family)
    assert size(free) == dimension
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(free))


def test_rebuild_is_exact_at_the_start(case):
    family, _ = case
    free, rebuild = jd.unconstrain(family)
    exact = not isinstance(family, jd.MultivariateNormal) or family.covariance_matrix is None
    for got, want in zip(jax.tree.leaves(rebuild(free)), jax.tree.leaves(family), strict=True):
        if exact:
            np.testing.assert_array_equal(got, np.asarray(want, np.asarray(got).dtype))
        else:
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def test_every_point_obeys_the_constraints(case):
    family, _ = case
    free, rebuild = jd.unconstrain(family)
    leaves, treedef = jax.tree.flatten(free)
    keys = jr.split(jr.key(0), len(leaves))
    moved = [x + 3 * jr.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    member = rebuild(treedef.unflatten(moved))
    if isinstance(member, jd.AbstractOperand):
        assert not any(jnp.any(check.bad) for check in member.value_checks())
        again, _ = jd.unconstrain(member)
        for got, want in zip(jax.tree.leaves(again), moved, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    if isinstance(member, jd.Mixture):
        np.testing.assert_allclose(jnp.sum(member.mixing.mass(None)), 1.0, rtol=1e-12)


def test_rebuild_transforms(case):
    family, _ = case
    free, rebuild = jd.unconstrain(family)

    def total(free):
        members = jax.tree.leaves(eqx.filter(rebuild(free), eqx.is_inexact_array))
        return jnp.sum(jnp.stack([jnp.sum(jnp.sin(leaf)) for leaf in members]))

    stacked = jax.tree.map(lambda x: jnp.stack([x, x + 0.1]), free)
    vmapped = jax.vmap(total)(stacked)
    np.testing.assert_allclose(vmapped[0], jax.jit(total)(free), rtol=1e-5, atol=1e-6)
    slope = jax.grad(total)(free)
    _, along = jax.jvp(jax.grad(total), (free,), (slope,))
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((slope, along)))


def test_python_numbers_take_the_dtype_of_the_family():
    assert jd.unconstrain(jd.Normal(0, 1))[0].loc.dtype == jnp.float64
    assert jd.unconstrain(jd.Normal(jnp.float32(0), 1))[0].scale.dtype == jnp.float32


def test_fixed_fields_stay():
    family = FAMILIES["frozen"][0]
    free, rebuild = jd.unconstrain(family)
    assert free.table is None
    assert free.inner.loc is None
    np.testing.assert_array_equal(rebuild(free).table, family.table)


def test_integers_cannot_be_fitted():
    with pytest.raises(TypeError, match=r"Normal\.loc is an array of integers.*fixed"):
        jd.unconstrain(jd.Normal(jnp.array([0, 1]), 1.0))


def test_masked_classes_cannot_be_fitted():
    with pytest.raises(ValueError, match=r"Logits\.where: a family over masked classes"):
        jd.unconstrain(jd.logits(jnp.zeros(3), where=jnp.array([True, True, False])))


def test_unknown_constraint():
    class Odd(eqx.Module):
        angle: jax.Array = field(constraint="circle")

    with pytest.raises(ValueError, match="circle"):
        jd.unconstrain(Odd(jnp.zeros(())))

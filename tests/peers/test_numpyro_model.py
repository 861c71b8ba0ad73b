"""NumPyro models as posteriors, against NumPyro's own densities in free coordinates."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density

import jaxdiv as jd

Y = jnp.array([0.3, -1.2, 2.0])
GROUP = jnp.array([0, 1, 1])


def model(y, group, num_groups, *, width):
    numpyro.sample("real", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
    numpyro.sample(
        "cut",
        dist.TransformedDistribution(
            dist.Normal(0.0, 1.0).expand([3]).to_event(1), dist.transforms.OrderedTransform()
        ),
    )
    numpyro.sample(
        "steps", dist.ImproperUniform(dist.constraints.positive_ordered_vector, (), (3,))
    )
    numpyro.sample("half", dist.TruncatedNormal(low=0.5))
    numpyro.sample("under", dist.TruncatedNormal(high=jnp.array(1.5)))
    numpyro.sample("between", dist.Uniform(-1.0, 3.0))
    numpyro.sample("tril", dist.LKJCholesky(3, 2.0))
    share = numpyro.sample("share", dist.Dirichlet(jnp.ones(3)).expand([2]))
    scale = numpyro.sample("scale", dist.HalfNormal(width))
    with numpyro.plate("groups", num_groups):
        effect = numpyro.sample("effect", dist.Normal(0.0, scale))
    numpyro.deterministic("twice", 2 * effect)
    numpyro.sample("y", dist.StudentT(4.0, effect[group] + share[0, 0], scale), obs=y)


def made(y=Y):
    return jd.as_posterior(model, y, GROUP, 2, width=2.0)


def test_spaces():
    spaces = made().parameters
    assert spaces["real"] == jd.Real(2)
    assert spaces["cut"] == jd.Ordered(3)
    assert spaces["steps"] == jd.PositiveOrdered(3)
    assert spaces["half"] == jd.Interval(0.5, np.inf)
    assert spaces["under"] == jd.Interval(-np.inf, 1.5)
    assert spaces["between"] == jd.Interval(-1.0, 3.0)
    assert spaces["tril"] == jd.CholeskyCorrelation(3)
    assert spaces["share"] == jd.Repeated(jd.Simplex(3), 2)
    assert spaces["scale"] == jd.Positive()
    assert spaces["effect"] == jd.Real(2)
    assert len(spaces) == 10


def test_density():
    """Of the constrained parameters, and of free ones by the Jacobian of NumPyro's bijections."""
    posterior = made()

    def at(u):
        params = posterior.constrain(u)
        own, _ = log_density(model, (Y, GROUP, 2), {"width": 2.0}, params)
        return posterior.log_prob(params), own, posterior.free().log_prob(u)

    u = jr.normal(jr.key(0), (4, posterior.dim))
    ours, own, free = jax.jit(jax.vmap(at))(u)
    np.testing.assert_allclose(ours, own, rtol=1e-12)

    def jacobian(params):
        total = 0.0
        supports = {"half": 0.5, "scale": 0.0}
        total = sum(jnp.log(params[name] - low) for name, low in supports.items())
        for name, transform in {
            "cut": dist.transforms.OrderedTransform(),
            "tril": dist.transforms.CorrCholeskyTransform(),
            "share": dist.transforms.StickBreakingTransform(),
            "under": dist.biject_to(dist.constraints.less_than(1.5)),
            "between": dist.biject_to(dist.constraints.interval(-1.0, 3.0)),
        }.items():
            z = transform.inv(params[name])
            total = total + jnp.sum(transform.log_abs_det_jacobian(z, params[name]))
        return total + jnp.sum(jnp.log(jnp.diff(params["steps"], prepend=0.0)))

    want = jax.jit(jax.vmap(lambda u: jacobian(posterior.constrain(u))))(u)
    np.testing.assert_allclose(free - ours, want, rtol=1e-8, atol=1e-8)


def test_new_data_does_not_compile_again():
    count = 0

    @jax.jit
    def value(posterior, u):
        nonlocal count
        count += 1
        return posterior.free().log_prob(u)

    first, second = (value(made(y), jnp.zeros(made().dim)) for y in (Y, 2 * Y))
    assert count == 1
    assert first != second


def test_what_has_no_space():
    def discrete():
        numpyro.sample("k", dist.Poisson(2.0))

    def matrix():
        numpyro.sample("corr", dist.LKJ(3))

    def dependent():
        width = numpyro.sample("width", dist.HalfNormal(1.0))
        numpyro.sample("x", dist.Uniform(0.0, width))

    def uneven():
        numpyro.sample("x", dist.Uniform(0.0, jnp.array([1.0, 2.0])))

    def param():
        numpyro.param("x", 1.0)

    def nothing(y):
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)

    with pytest.raises(TypeError, match="'k' is discrete"):
        jd.as_posterior(discrete)
    with pytest.raises(TypeError, match=r"'corr' has support .*CorrMatrix.*LKJCholesky for LKJ"):
        jd.as_posterior(matrix)
    with pytest.raises(TypeError, match="'x' depends on other latent sites"):
        jd.as_posterior(dependent)
    with pytest.raises(ValueError, match=r"'x' has ends that differ, \[1\.0, 2\.0\]"):
        jd.as_posterior(uneven)
    with pytest.raises(TypeError, match=r"'x' is a `numpyro\.param`"):
        jd.as_posterior(param)
    with pytest.raises(ValueError, match="no latent sites"):
        jd.as_posterior(nothing, Y)

"""Under jit, vmap, vmap of vmap, scan and two derivatives, and on a mesh."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdiv as jd
from jaxdiv._kernel import categorical

from .registry import simplex

FUNCTIONALS = [jd.KL(), jd.JensenShannon(), jd.SquaredHellinger()]


def values(p, q):
    return jnp.stack([jd.divergence(f, p, q) for f in FUNCTIONALS])


def normals(x):
    return jd.Normal(x[0], jnp.exp(x[1])), jd.Normal(x[2], jnp.exp(x[3]))


def multivariate(x):
    tril = jnp.array([[1.0, 0.0], [0.3, 0.7]])
    p = jd.MultivariateNormal(x[:2], tril * jnp.exp(0.1 * x[2]))
    return p, jd.MultivariateNormal(jnp.zeros(2), covariance_matrix=jnp.eye(2) * jnp.exp(x[3]))


def by_quadrature(p, q):
    return jd.jensen_shannon(p, q, estimator=jd.Quadrature())


def closed(p, q):
    used = [jd.KL(), jd.Renyi(0.6), jd.SquaredHellinger()]
    return jnp.stack([jd.divergence(f, p, q) for f in used])


def of_logits(functional):
    return lambda x: jd.divergence(functional, jd.logits(x), jd.logits(x[::-1] * 0.5))


CASES = {
    # Apart: a program of them all takes the compiler twice the time of all their programs.
    **{f"logits, {type(f).__name__}": of_logits(f) for f in FUNCTIONALS},
    "probs": lambda x: values(jd.probs(jax.nn.softmax(x)), jd.probs(jax.nn.softmax(-x))),
    "mixed": lambda x: values(jd.logits(x), jd.probs(jnp.array([0.1, 0.2, 0.3, 0.4]))),
    "normals": lambda x: closed(*normals(x)),
    "multivariate normals": lambda x: jd.kl(*multivariate(x)),
    "by quadrature": lambda x: by_quadrature(*normals(0.3 * x)),
}


@pytest.mark.parametrize("name", CASES)
def test_transforms(name):
    fn = CASES[name]
    x = jnp.asarray(np.random.default_rng(5).normal(size=(2, 3, 4)))
    flat = x.reshape(6, 4)
    want = np.stack([jax.jit(fn)(row) for row in flat])
    assert np.isfinite(want).all()
    once = jax.jit(jax.vmap(fn))(flat)
    twice = jax.jit(jax.vmap(jax.vmap(fn)))(x)
    scanned = jax.lax.scan(lambda carry, row: (carry, fn(row)), 0, flat)[1]
    for got in (once, twice.reshape(want.shape), scanned):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives(name):
    """Forward, reverse, and forward over reverse, against differences of the values."""
    rng = np.random.default_rng(6)
    x, v = jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.normal(size=4))
    v = 0.1 * v / jnp.linalg.norm(v)
    weights = jnp.asarray(rng.uniform(0.5, 2.0, size=jax.eval_shape(CASES[name], x).size))

    def fn(x):
        return jnp.ravel(CASES[name](x)) @ weights

    def reverse(x):
        return jax.grad(fn)(x) @ v

    step = 0.02
    at = jax.jit(jax.vmap(lambda t: fn(x + t * step * v)))(jnp.arange(-3.0, 4.0))
    first = jnp.array([-1.0, 9, -45, 0, 45, -9, 1]) @ at / (60 * step)
    second = jnp.array([2.0, -27, 270, -490, 270, -27, 2]) @ at / (180 * step**2)
    forward, (one, two) = jax.jit(
        lambda x: (jax.jvp(fn, (x,), (v,))[1], jax.jvp(reverse, (x,), (v,)))
    )(x)
    np.testing.assert_allclose(forward, first, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(one, first, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(two, second, rtol=1e-6, atol=3e-9)


def test_prefix_trees_in_vmap():
    a, b = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 4)))
    q = jd.probs(jnp.array([0.1, 0.2, 0.3, 0.4]))
    got = jax.vmap(jd.kl, in_axes=(jd.logits(0), jd.probs(None)))(jd.logits(a), q)
    np.testing.assert_allclose(got, jd.kl(jd.logits(a), q), rtol=1e-14)
    masked = jd.logits(a, where=a > -1)
    got = jax.vmap(jd.kl, in_axes=(jd.logits(0, where=0), 0))(masked, jd.logits(b))
    np.testing.assert_allclose(got, jd.kl(masked, jd.logits(b)), rtol=1e-14)
    p, standard = jd.Normal(a[:, 0], 1.0), jd.Normal(0.0, 1.0)
    got = jax.vmap(jd.kl, in_axes=(jd.Normal(0, None), None))(p, standard)
    np.testing.assert_allclose(got, 0.5 * a[:, 0] ** 2, rtol=1e-14)


# The private kernel, and nothing else.


def test_kl_of_logits_is_the_kernel():
    a, b = jnp.asarray(np.random.default_rng(2).normal(size=(2, 8, 16)), jnp.float32)

    def by_verb(a, b):
        return jd.kl(jd.logits(a), jd.logits(b))

    def by_kernel(a, b):
        return categorical.kl_logits(a, b)

    for transform in (lambda f: f, lambda f: jax.grad(lambda a, b: f(a, b).sum(), (0, 1))):
        texts = [
            jax.jit(transform(f)).lower(a, b).as_text().split("\n", 1)[1]
            for f in (by_verb, by_kernel)
        ]
        assert "loc(" not in texts[0]
        assert texts[0] == texts[1] and "stablehlo" in texts[0]


def test_operands_cost_nothing():
    """A jitted call on operands is the jitted call on their arrays."""
    a, b = jnp.asarray(np.random.default_rng(2).normal(size=(2, 8, 16)), jnp.float32)
    on_operands = jax.jit(jd.kl).lower(jd.logits(a), jd.logits(b)).as_text()
    on_arrays = jax.jit(lambda a, b: jd.kl(jd.logits(a), jd.logits(b))).lower(a, b).as_text()
    strip = [text.split("\n") for text in (on_operands, on_arrays)]
    assert strip[0][2:] == strip[1][2:]


# On a mesh of eight devices.

MESH = jax.make_mesh((2, 4), ("batch", "class"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
PROBS = jnp.asarray(simplex(np.random.default_rng(3), (2, 4, 16)))


def mapped(fn, in_specs, out_specs):
    return jax.jit(jax.shard_map(fn, mesh=MESH, in_specs=in_specs, out_specs=out_specs))


@pytest.mark.parametrize("tag", [jd.logits, jd.probs, jd.log_probs])
def test_class_axis_split_in_shard_map(tag):
    """`axis_name=` makes a value global; without it each shard would be a distribution."""
    x = PROBS if tag is jd.probs else jnp.log(PROBS)

    def local(a, b):
        return values(tag(a, axis_name="class"), tag(b, axis_name="class"))

    split = mapped(local, P("batch", "class"), P(None, "batch"))
    whole = jax.jit(lambda a, b: values(tag(a), tag(b)))
    np.testing.assert_allclose(split(*x), whole(*x), rtol=1e-12, atol=1e-14)


def test_sharded_inputs():
    p, q = jd.logits(jnp.log(PROBS[0])), jd.logits(jnp.log(PROBS[1]))
    run = jax.jit(values)
    for spec in (P("batch", None), P("batch", "class")):
        split = jax.device_put((p, q), NamedSharding(MESH, spec))
        np.testing.assert_allclose(run(*split), run(p, q), rtol=1e-13, atol=1e-15)


def test_prefix_trees_in_shard_map():
    z = jnp.log(PROBS)
    p, q = jd.logits(z[0]), jd.logits(z[1])
    batched = mapped(jd.kl, (jd.logits(P("batch")), jd.logits(P("batch"))), P("batch"))
    np.testing.assert_allclose(batched(p, q), jd.kl(p, q), rtol=1e-13)
    specs = jd.logits(P("batch", "class"), axis_name="class")
    split = mapped(jd.kl, (specs, specs), P("batch"))
    named = [jd.logits(x, axis_name="class") for x in z]
    np.testing.assert_allclose(split(*named), jd.kl(p, q), rtol=1e-13)
    labels = jd.labels(jnp.array([0, 5, 15, 9]))
    nll = mapped(jd.cross_entropy, (jd.labels(P("batch")), specs), P("batch"))
    np.testing.assert_allclose(nll(labels, named[1]), jd.cross_entropy(labels, q), rtol=1e-13)
    loc = jnp.arange(4.0)
    normals = mapped(jd.kl, (jd.Normal(P("batch"), P()), jd.Normal(P(), P())), P("batch"))
    d, standard = jd.Normal(loc, jnp.asarray(2.0)), jd.Normal(jnp.asarray(0.0), jnp.asarray(1.0))
    np.testing.assert_allclose(normals(d, standard), jd.kl(d, standard), rtol=1e-14)
    with pytest.raises(ValueError, match="axis_name"):
        mapped(jd.kl, (specs, jd.logits(P("batch", "class"))), P("batch"))(named[0], q)


def test_mean_in_shard_map_is_global():
    values = jnp.asarray(np.random.default_rng(4).normal(size=(4, 8)))
    where = values > -0.5
    run = mapped(
        lambda v, k: jd.mean(v, where=k, axis_name=("batch", "class")), P("batch", "class"), P()
    )
    np.testing.assert_allclose(run(values, where), jd.mean(values, where=where), rtol=1e-14)

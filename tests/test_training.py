"""Training loops of optax and equinox with these losses in them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import jaxdiv as jd

KEYS = jr.split(jr.key(0), 4)
X = jr.normal(KEYS[0], (64, 4))
Y = jnp.argmax(X[:, :3] + 0.5 * jr.normal(KEYS[1], (64, 3)), -1)


@pytest.fixture(autouse=True)
def promotion():
    """As users have it: optax counts its steps in integers."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def same(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), one, other)


def test_in_optax():
    """A linear classifier by Adam: the weights that `optax.losses` gives, step by step."""
    optimizer = optax.adam(0.1)

    def train(loss):
        def step(carry, _):
            w, state = carry
            value, slope = jax.value_and_grad(loss)(w)
            change, state = optimizer.update(slope, state, w)
            return (optax.apply_updates(w, change), state), value

        start = {"w": jnp.zeros((4, 3)), "b": jnp.zeros(3)}
        carry = start, optimizer.init(start)
        (w, _), values = jax.lax.scan(step, carry, length=30)
        return w, values

    def ours(w):
        return jd.mean(jd.cross_entropy(jd.labels(Y), jd.logits(X @ w["w"] + w["b"])))

    def theirs(w):
        z = X @ w["w"] + w["b"]
        return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(z, Y))

    one, other = jax.jit(lambda: (train(ours), train(theirs)))()
    same(one, other)
    assert one[1][-1] < 0.5 * one[1][0]


def test_in_equinox():
    """A network that gives a mean and a scale, and so learns where the data are noisy."""
    x = X[:, :1]
    noise = jnp.where(x > 0, 1.0, 0.1)
    y = (2 * x + noise * jr.normal(KEYS[2], x.shape))[:, 0]
    optimizer = optax.adam(0.03)

    def predict(model, x):
        loc, raw = jax.vmap(model)(x).T
        return jd.Normal(loc, jax.nn.softplus(raw))

    @eqx.filter_value_and_grad
    def loss(model):
        return jd.mean(jd.cross_entropy(jd.PointMass(y), predict(model, x)))

    @eqx.filter_jit
    def train(model):
        def step(carry, _):
            weights, state = carry
            value, slope = loss(eqx.combine(weights, rest))
            change, state = optimizer.update(slope, state, weights)
            return (eqx.apply_updates(weights, change), state), value

        weights, rest = eqx.partition(model, eqx.is_array)
        (weights, _), values = jax.lax.scan(step, (weights, optimizer.init(weights)), length=300)
        return eqx.combine(weights, rest), values

    model, values = train(eqx.nn.MLP(1, 2, 16, 1, key=KEYS[3]))
    found = predict(model, jnp.array([[-1.0], [1.0]]))
    assert values[-1] < values[0] - 0.5
    assert found.scale[0] < 0.25 and found.scale[1] > 0.6
    np.testing.assert_allclose(found.loc, [-2, 2], atol=0.5)

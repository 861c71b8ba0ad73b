"""Training loops of flax, by both of its interfaces, with these losses in them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from flax import nnx

import jaxdiv as jd

KEYS = jr.split(jr.key(0), 3)
X = jr.normal(KEYS[0], (64, 4))
Y = jnp.argmax(X[:, :3] + 0.5 * jr.normal(KEYS[1], (64, 3)), -1)


def ours(z):
    return jd.mean(jd.cross_entropy(jd.labels(Y), jd.logits(z)))


def theirs(z):
    return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(z, Y))


def check(train):
    """The values and the weights that `optax.losses` gives, step by step."""
    (one, values), (other, _) = train(ours), train(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), one, other)
    assert values[-1] < 0.6 * values[0]


def test_nnx():
    def train(loss):
        model = nnx.Linear(4, 3, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)

        @nnx.jit
        def step(model, optimizer):
            value, slope = nnx.value_and_grad(lambda model: loss(model(X)))(model)
            optimizer.update(model, slope)
            return value

        values = [step(model, optimizer) for _ in range(20)]
        return nnx.state(model, nnx.Param).to_pure_dict(), values

    check(train)


def test_linen():
    model = nn.Dense(3, param_dtype=jnp.float64)
    optimizer = optax.adam(0.1)

    def train(loss):
        @jax.jit
        def step(carry, _):
            weights, state = carry
            value, slope = jax.value_and_grad(lambda w: loss(model.apply(w, X)))(weights)
            change, state = optimizer.update(slope, state, weights)
            return (optax.apply_updates(weights, change), state), value

        weights = model.init(KEYS[2], X)
        (weights, _), values = jax.lax.scan(step, (weights, optimizer.init(weights)), length=20)
        return weights, values

    check(train)

"""A fit of thousands of sampled steps, here and in a process that is killed in its midst.

Run as a program it says each step that it has saved, and saves to its argument.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

import jaxdiv as jd

OPTIM = optax.adam(0.03)
EVERY, NUM_STEPS = 50, 5000


class MiniBatch(eqx.Module):
    """The mean negative log-likelihood of 8 of the data, others at each step."""

    data: jax.Array

    def __call__(self, family, key):
        rows = jr.randint(key, (8,), 0, self.data.size)
        return -jnp.mean(family.log_prob(self.data[rows]))


def long_fit(session=None, *, scale=2.0, seed=0, optim=OPTIM):
    objective = MiniBatch(scale * jnp.sin(jnp.arange(100.0)))
    return jd.fit(
        objective,
        jd.Normal(0.1, 1.0),
        optim,
        num_steps=NUM_STEPS,
        starts=3,
        key=jr.key(seed),
        throw=False,
        session=session,
    )


def say(step, losses):
    print(step, flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    long_fit(jd.Session(sys.argv[1], every=EVERY, callback=say))

"""Long fits: cut, killed, resumed and interrupted, and NaN on the way."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import jaxdiv as jd

from .long_fit import EVERY, NUM_STEPS, long_fit


def assert_same_bits(a, b):
    a, b = (dataclasses.replace(found, seconds=None) for found in (a, b))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def ends_as(found, name):
    wanted = jd.RESULTS[getattr(jd.RESULTS, name)]
    codes = [jax.tree.map(lambda x, i=i: x[i], found.result) for i in range(len(found.values))]
    return [jd.RESULTS[code] == wanted for code in codes]


class Hollow(eqx.Module):
    """Least at loc = 3, scale = 1; NaN with this probability, and beyond 3.5."""

    probability: jax.Array

    def __call__(self, family, key):
        lost = jr.uniform(key) < self.probability if key is not None else False
        value = jnp.sqrt(1 + (family.loc - 3) ** 2) + family.scale - jnp.log(family.scale)
        return jnp.where(lost | (family.loc > 3.5), jnp.nan, value)


def test_killed_and_resumed_to_the_bit(tmp_path):
    path = tmp_path / "fit"
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.long_fit", path],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 10 * EVERY:
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    steps = []
    session = jd.Session(path, every=1000, callback=lambda step, losses: steps.append(step))
    resumed = long_fit(session)
    assert 10 * EVERY <= steps[0] - 1000 < NUM_STEPS - 1000 and steps[-1] == NUM_STEPS
    assert_same_bits(resumed, long_fit())

    with pytest.raises(ValueError, match=r"differs from this one in the objective\."):
        long_fit(session, scale=2.5)
    with pytest.raises(ValueError, match=r"differs from this one in `key`\."):
        long_fit(session, seed=1)
    with pytest.raises(ValueError, match=r"differs from this one in the compiled program"):
        long_fit(session, optim=optax.adam(0.02))
    path.write_text("step,loss\n")
    with pytest.raises(ValueError, match="is not a saved fit"):
        long_fit(session)


ADAM = optax.adam(0.05)


def test_interrupted_fits_return_what_there_is(capsys):
    def press(step, losses):
        assert losses.shape == (1,) and np.isfinite(losses).all()
        if step == 20:
            raise KeyboardInterrupt

    def fitted(**kwargs):
        session = jd.Session(every=10, **kwargs)
        start = jd.Normal(0.0, 1.0)
        return jd.fit(Hollow(jnp.array(0.0)), start, ADAM, num_steps=60, session=session)

    for callback in (press, lambda step, losses: step == 20):
        found = fitted(callback=callback)
        assert found.num_steps == 20 and ends_as(found, "interrupted") == [True]
        assert 0.5 < found.distribution.loc < 1.5
    # Those steps are the first of the whole fit.
    whole = jd.fit(Hollow(jnp.array(0.0)), jd.Normal(0.0, 1.0), ADAM, num_steps=60, throw=False)
    with pytest.raises(RuntimeError, match="steps ran out"):
        fitted(progress=True)
    assert "step 60/60" in capsys.readouterr().out
    np.testing.assert_array_equal(whole.losses[0, :20], found.losses[0, :20])
    assert np.isnan(found.losses[0, 20:]).all()


def test_nan_is_survived_and_counted():
    family, key = jd.Normal(0.0, 1.0), jr.key(0)
    sampled = jax.jit(
        lambda p: jd.fit(Hollow(p), family, ADAM, num_steps=1000, key=key, throw=False)
    )
    found = sampled(0.2)
    np.testing.assert_allclose(found.distribution.loc, 3.0, atol=1e-3)
    num_bad = np.sum(np.isnan(found.losses[0, : int(found.num_steps[0])]))
    assert_num_bad(found, num_bad)
    assert 0.15 < num_bad / int(found.num_steps[0]) < 0.25
    lost = sampled(1.0)
    assert ends_as(lost, "diverged") == [True] and lost.num_steps[0] < 50
    assert_num_bad(lost, lost.num_steps[0])
    assert lost.distribution.loc == 0.0

    # Newton's steps are too long there: the cube of the distance.
    found = jd.fit(Hollow(jnp.array(0.0)), jd.Normal(-2.0, 1.0), jd.newton(radius=60.0))
    np.testing.assert_allclose(found.distribution.loc, 3.0, rtol=1e-8)
    assert np.asarray(found.num_bad) > 0


def assert_num_bad(found, number):
    np.testing.assert_array_equal(found.num_bad, [number])


def test_what_a_session_is_not_for():
    def fitted(loc, session):
        return jd.fit(jd.reverse_kl(jd.Normal(loc, 1.0)), jd.Normal(0.0, 1.0), session=session)

    with pytest.raises(TypeError, match="a session is on the host"):
        jax.jit(lambda loc: fitted(loc, jd.Session()).value)(1.0)
    with pytest.raises(ValueError, match="`every` must be positive"):
        fitted(1.0, jd.Session(every=0))

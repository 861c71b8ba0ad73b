"""Pairs whose divergence is known, estimated again and again: how often error bars cover it."""

# pyright: reportArgumentType=false

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import jaxdiv as jd

REPETITIONS = 1000


class Case(NamedTuple):
    """`D(p, q)` by an estimator, and by what its value is known."""

    name: str
    functional: Any
    p: Any
    q: Any
    estimator: Any
    truth: Any = None  # None: the closed form


class Coverage(NamedTuple):
    """Of a thousand intervals of nominal 95 %."""

    truth: float
    covered: float  # per cent
    ratio: float  # mean standard error over the standard deviation of the values
    flagged: float  # per cent that say not to trust the error bar
    silent: int  # of those with pareto_k above 0.7, how many do not say so
    largest_k: float


MIXTURE = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), jnp.array([0.5, 0.9])))
NORMAL = jd.Normal(0.3, 0.8)
CORRELATED = jd.MultivariateNormal(
    jnp.array([0.5, 0.0, -0.5]), jnp.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.7]])
)
STANDARD = jd.MultivariateNormal(jnp.zeros(3), 1.2 * jnp.eye(3))
UNNORMALISED = jd.LogDensity(lambda x: NORMAL.log_prob(x) + 3.0)
WIDE = jd.StudentT(5.0, 0.0, 1.5)
BY_NODES = jd.Quadrature()

CASES = [
    Case("independent", jd.KL(), NORMAL, jd.Normal(1.0, 1.3), jd.MonteCarlo(1000)),
    Case(
        "stratified mixture",
        jd.KL(),
        MIXTURE,
        jd.Normal(-0.8, 1.9),
        jd.MonteCarlo(1000),
        BY_NODES,
    ),
    Case(
        "antithetic, Jensen-Shannon",
        jd.JensenShannon(),
        NORMAL,
        jd.Logistic(0.0, 1.0),
        jd.MonteCarlo(1000, draws=jd.Antithetic()),
        BY_NODES,
    ),
    Case(
        "randomised quasi-Monte Carlo",
        jd.KL(),
        CORRELATED,
        STANDARD,
        jd.MonteCarlo(1024, draws=jd.RandomizedQMC()),
    ),
    Case(
        "control variate",
        jd.KL(),
        NORMAL,
        jd.Normal(0.6, 0.8),
        jd.MonteCarlo(1000, control=jd.RatioControlVariate()),
    ),
    Case(
        "importance sampling",
        jd.KL(),
        UNNORMALISED,
        jd.Normal(1.0, 1.3),
        jd.ImportanceSampling(WIDE, 1000),
        jd.kl(NORMAL, jd.Normal(1.0, 1.3)),
    ),
]
# Averages of what has no variance: the tails' shapes are 0.94, 0.89 and 0.78.
HEAVY = [
    Case(
        "control variate, the reference 4 times as wide",
        jd.KL(),
        jd.Normal(0.0, 1.0),
        jd.Normal(0.0, 4.0),
        jd.MonteCarlo(1000, control=jd.RatioControlVariate()),
    ),
    Case(
        "importance sampling, a third of the scale",
        jd.KL(),
        UNNORMALISED,
        jd.Normal(1.0, 1.3),
        jd.ImportanceSampling(jd.Normal(0.3, 0.8 / 3), 1000),
        jd.kl(NORMAL, jd.Normal(1.0, 1.3)),
    ),
    Case(
        "chi-squared, 3/4 of the scale",
        jd.ChiSquared(),
        jd.Normal(0.0, 1.0),
        jd.Normal(0.0, 0.75),
        jd.MonteCarlo(1000),
    ),
]


def coverage(case: Case, repetitions: int = REPETITIONS, optimise: int = 3) -> Coverage:
    """Of independent estimates, in one program, which XLA may compile without much ado."""
    truth = case.truth
    if truth is None:
        truth = jd.divergence(case.functional, case.p, case.q)
    elif isinstance(truth, jd.AbstractEstimator):
        truth = jd.divergence(case.functional, case.p, case.q, estimator=truth)
    truth = float(truth)

    def estimates(key):
        e = jd.estimate(case.functional, case.p, case.q, case.estimator, key=key)
        return e.value, e.standard_error, e.pareto_k, e.reliable

    options = {"xla_backend_optimization_level": optimise}
    run = jax.jit(jax.vmap(estimates), compiler_options=options)
    value, error, k, reliable = map(np.asarray, run(jr.split(jr.key(7), repetitions)))
    return Coverage(
        truth,
        100 * float(np.mean(abs(value - truth) <= 1.959964 * error)),
        float(error.mean() / value.std(ddof=1)),
        100 * float(np.mean(~reliable)),
        int(np.sum(reliable & ~(k <= 0.7))),
        float(k.max()),
    )

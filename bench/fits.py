"""`python -m bench.fits [TARGET ...]`: every optimum found and none invented, at length.

For each target, direction, family and floating type: 64 random starting points with 16 starts each,
and 1,024 starts drawn far and wide, against the exact values. The tests do a part of this.
"""

import argparse
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import jaxdiv as jd
from tests import exact_targets as exact

BUDGETS = {"float64": 1e-9, "float32": 2e-6}
POINTS, STARTS, WILD = 64, 16, 1024
CASES = (*exact.KNOWN, ("bi2d", "forward", "diagonal"))


class Outcome(NamedTuple):
    """What one run found: global optima, the worst error of a listed value, and what is wrong."""

    found: int
    of: int
    error: float
    minor: int
    invented: int
    unfinished: int
    seconds: float


def main() -> int:
    """Run the cases; 1 where an optimum was missed or invented."""
    parser = argparse.ArgumentParser("python -m bench.fits", description=main.__doc__)
    parser.add_argument("target", nargs="*", choices=[[], *exact.TARGETS], default=[])
    parser.add_argument("--dtype", choices=BUDGETS, action="append")
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--wild", type=int, default=WILD)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(f"{'target':8}{'direction':10}{'family':10}{'dtype':9}{'run':7}", end="")
    print("  global    error  minor  invented  unfinished  seconds")
    failed = False
    for case in CASES:
        for dtype in options.dtype or BUDGETS:
            if options.target and case[0] not in options.target:
                continue
            for run, num in ((_random_points, options.points), (_wild_starts, options.wild)):
                out = run(case, jnp.dtype(dtype), num)
                failed |= out.found < out.of or out.invented > 0
                name, direction, shape = case
                print(f"{name:8}{direction:10}{shape:10}{dtype:9}{run.__name__[1:5]:7}", end="")
                print(f"{out.found:5d}/{out.of:<4d}{out.error:8.0e}{out.minor:7d}", end="")
                print(f"{out.invented:10d}{out.unfinished:12d}{out.seconds:9.1f}", flush=True)
    return failed


def _random_points(case, dtype, num: int) -> Outcome:
    """`STARTS` starts each from points N(0, 2^2) of scale 1."""
    objective, known, dim = _problem(case, dtype)
    family = _members(
        case[2], 2 * jr.normal(jr.key(1), (num, dim), dtype), jnp.ones((num, dim), dtype)
    )
    one = jax.jit(
        lambda family, key: jd.fit(objective, family, starts=STARTS, key=key, throw=False)
    )
    keys = jr.split(jr.key(2), num)
    start = time.perf_counter()
    fits = [one(jax.tree.map(lambda x, i=i: x[i], family), keys[i]) for i in range(num)]
    return _judge(jax.block_until_ready(fits), known, dtype, start)


def _wild_starts(case, dtype, num: int) -> Outcome:
    """Starts at N(0, 5^2) with the logarithms of the scales N(0, 2^2)."""
    objective, known, dim = _problem(case, dtype)
    key_loc, key_scale = jr.split(jr.key(3))
    scale = jnp.exp(2 * jr.normal(key_scale, (num, dim), dtype))
    starts = _members(case[2], 5 * jr.normal(key_loc, (num, dim), dtype), scale)
    family = jax.tree.map(lambda x: x[0], starts)
    start = time.perf_counter()
    found = jd.fit(objective, family, starts=starts, throw=False)
    return _judge([jax.block_until_ready(found)], known, dtype, start)


def _problem(case, dtype):
    name, direction, shape = case
    target = exact.TARGETS[name]
    weights = jnp.array([target.weight, 1 - target.weight], dtype)
    modes = jnp.array([-target.mode, target.mode], dtype)
    tril = jnp.array(np.linalg.cholesky(target.covariance), dtype)
    components = jd.MultivariateNormal(modes, tril)
    if len(target.mode) == 1:
        components = jd.Normal(modes[:, 0], tril[0, 0])
    objective = {"forward": jd.forward_kl, "reverse": jd.reverse_kl}[direction]
    known = exact.KNOWN.get(case)
    if known is None:
        known = (exact.optimum(target, direction, shape, *exact.near(*case)[0])[0],)
    return objective(jd.Mixture(jd.probs(weights), components)), np.array(known), len(target.mode)


def _members(shape: str, loc, scale):
    """Stacked members of the family in as many dimensions as `loc` has."""
    if loc.shape[1] == 1:
        return jd.Normal(loc[:, 0], scale[:, 0])
    if shape == "diagonal":
        return jd.Independent(jd.Normal(loc, scale), 1)
    return jd.MultivariateNormal(loc, scale[..., None] * jnp.eye(loc.shape[1], dtype=loc.dtype))


def _judge(fits, known, dtype, start: float) -> Outcome:
    seconds = time.perf_counter() - start
    budget = BUDGETS[dtype.name]
    listed = [np.asarray(fit.values)[np.asarray(fit.certificate.is_optimum)] for fit in fits]
    off = np.concatenate([np.min(abs(values[:, None] - known), 1, initial=1) for values in listed])
    best = sum(abs(float(fit.value) - known[0]) < budget for fit in fits)
    kinds = {round(value, 6) for value in known[1:]} - {round(known[0], 6)}
    minor = sum(any(np.any(abs(v - kind) < 1e-5) for v in listed) for kind in kinds)
    unfinished = sum(len(fit.values) for fit in fits) - len(off)
    error = max(abs(float(fit.value) - known[0]) for fit in fits)
    return Outcome(best, len(fits), error, minor, int(np.sum(off > budget)), unfinished, seconds)


if __name__ == "__main__":
    sys.exit(main())

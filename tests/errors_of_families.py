"""What values and derivatives of families are off by, in ulp: for the tests, and for the bench."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

import jaxdiv as jd

from .parametric import Parametric

DIGITS = 80
STEP, STEP2 = mp.mpf(10) ** -24, mp.mpf(10) ** -16
TINY = mp.mpf(10) ** -30  # of the reference's own error, and beyond what float32 holds
HUGE = 1e30


def rounded(pairs: np.ndarray, dtype: Any) -> np.ndarray:
    """The fields as they are in a dtype."""
    return pairs.astype(dtype)


def _exact(row: np.ndarray) -> tuple[list[Any], list[Any]]:
    p, q = ([mp.mpf(float(x)) for x in side] for side in row)
    return p, q


def free(family: Parametric) -> list[tuple[int, int]]:
    """The (side, field)s that are differentiated."""
    fields = [
        i for i, kind in enumerate(family.kinds) if kind != "count" and i not in family.shared
    ]
    return list(itertools.product((0, 1), fields))


def _moved(row: Any, at: list[tuple[int, int]], by: list[Any]) -> Any:
    sides = [list(side) for side in row]
    for (side, i), h in zip(at, by, strict=True):
        sides[side][i] = sides[side][i] + h
    return sides


def ulp(error: Any, of: Any, dtype: Any) -> float:
    if of == 0:
        return 0.0 if error == 0 else np.inf
    return float(error / of) / float(np.finfo(dtype).eps)


def values_of(family: Parametric, pairs: np.ndarray) -> np.ndarray:
    """KL of each pair, as one program."""

    def kl(fields: Any) -> Any:
        return jd.kl(family.make(*fields[0]), family.make(*fields[1]))

    return np.asarray(jax.jit(jax.vmap(kl))(jnp.asarray(pairs)))


def derivatives_of(family: Parametric, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def kl(fields: Any) -> Any:
        return jd.kl(family.make(*fields[0]), family.make(*fields[1]))

    first = jax.jit(jax.vmap(jax.grad(kl)))
    second = jax.jit(jax.vmap(jax.jacfwd(jax.grad(kl))))
    return np.asarray(first(jnp.asarray(pairs))), np.asarray(second(jnp.asarray(pairs)))


def value_errors(family: Parametric, pairs: np.ndarray) -> list[float]:
    """In ulp of the value; infinite where one of the two is and the other not.

    Where the value is an exponential, an ulp of its argument counts.
    """
    got, errors = values_of(family, pairs), []
    assert got.dtype == pairs.dtype and family.kl is not None
    with mp.workdps(DIGITS):
        for value, row in zip(got, pairs, strict=True):
            want = family.kl(*_exact(row))
            error = _value_error(value, want, pairs.dtype)
            errors.append(
                error / float(1 + mp.log1p(want))
                if family.exponential and error < np.inf
                else error
            )
    return errors


def _value_error(value: Any, want: Any, dtype: Any) -> float:
    large = float(np.finfo(dtype).max)
    if want > large or np.isinf(value):
        return 0.0 if np.isinf(value) and want > 0.9 * large else np.inf
    assert value >= 0, (value, want)
    error = abs(mp.mpf(float(value)) - want)
    return ulp(max(error - TINY, mp.mpf(0)), abs(want), dtype)


def derivative_errors(family: Parametric, pairs: np.ndarray) -> tuple[list[float], list[float]]:
    """Of gradients and Hessians, relative to their largest entries, in the units of the fields."""
    assert family.kl is not None
    gradients, hessians = derivatives_of(family, pairs)
    firsts, seconds = [], []
    entries = free(family)
    with mp.workdps(DIGITS):
        for row, gradient, hessian in zip(pairs, gradients, hessians, strict=True):
            sides = _exact(row)
            units = [family.unit(i, sides[side]) for side, i in entries]
            here = family.kl(*sides)
            if not here < HUGE:
                continue
            want = [
                (
                    family.kl(*_moved(sides, [at], [STEP * u]))
                    - family.kl(*_moved(sides, [at], [-STEP * u]))
                )
                / (2 * STEP)
                for at, u in zip(entries, units, strict=True)
            ]
            if not all(map(mp.isfinite, want)):  # at an end of the support
                continue
            got = [mp.mpf(float(gradient[at])) * u for at, u in zip(entries, units, strict=True)]
            firsts.append(norm_error(got, want, pairs.dtype))
            want, got = [], []
            for (m, a), (n, b) in itertools.combinations_with_replacement(
                list(enumerate(entries)), 2
            ):
                h, k = STEP2 * units[m], STEP2 * units[n]
                if m == n:
                    around = family.kl(*_moved(sides, [a], [h])) + family.kl(
                        *_moved(sides, [a], [-h])
                    )
                    want.append((around - 2 * here) / STEP2**2)
                else:
                    corners = [
                        s * t * family.kl(*_moved(sides, [a, b], [s * h, t * k]))
                        for s in (1, -1)
                        for t in (1, -1)
                    ]
                    want.append(mp.fsum(corners) / (4 * STEP2**2))
                got.append(mp.mpf(float(hessian[a + b])) * units[m] * units[n])
            seconds.append(norm_error(got, want, pairs.dtype))
    return firsts, seconds


def norm_error(got: list[Any], want: list[Any], dtype: Any) -> float:
    """Of entries, relative to the largest."""
    if not all(mp.isfinite(g) for g in got):
        return np.inf
    largest = max(abs(w) for w in want)
    error = max(abs(g - w) for g, w in zip(got, want, strict=True))
    return ulp(max(error - TINY, mp.mpf(0)), largest, dtype)


def entropy_errors(family: Parametric, pairs: np.ndarray) -> list[float]:
    """In ulp of the larger of 1 and the entropy, which may be near zero."""
    assert family.entropy is not None
    members = pairs[:, 0]
    got = jax.jit(jax.vmap(lambda fields: jd.entropy(family.make(*fields))))(jnp.asarray(members))
    errors = []
    with mp.workdps(DIGITS):
        for value, row in zip(np.asarray(got), members, strict=True):
            want = family.entropy(*(mp.mpf(float(x)) for x in row))
            error = abs(mp.mpf(float(value)) - want)
            errors.append(ulp(error, max(abs(want), mp.mpf(1)), pairs.dtype))
    return errors


def quantiles(errors: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and largest."""
    ordered = np.sort(errors)
    return float(np.median(ordered)), float(ordered[int(0.99 * (len(ordered) - 1))]), ordered[-1]

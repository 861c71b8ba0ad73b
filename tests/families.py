"""Distributions on R and R^D that are tested, and the closed forms between normals in mpmath."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import mpmath as mp
import numpy as np

import jaxdiv as jd

from .oracle import ZERO, exact

INF = mp.inf

# Distributions on R and R^D.


@dataclass(frozen=True)
class Family:
    """`make(rng, dtype)` is one member; `size` its dimension (0 for the line)."""

    name: str
    make: Callable[[np.random.Generator, Any], Any]
    size: int = 0


def _normal(rng, dtype):
    loc, scale = rng.normal(size=2), np.exp(0.4 * rng.normal(size=2))
    return jd.Normal(jnp.asarray(loc[0], dtype), jnp.asarray(scale[0], dtype))


def tril(rng: np.random.Generator, size: int) -> np.ndarray:
    """A Cholesky factor that is not ill-conditioned."""
    lower = np.tril(0.4 * rng.normal(size=(size, size)), -1)
    return lower + np.diag(np.exp(0.3 * rng.normal(size=size)))


def _by_tril(rng, dtype):
    loc, factor = rng.normal(size=2), tril(rng, 2)
    return jd.MultivariateNormal(jnp.asarray(loc, dtype), jnp.asarray(factor, dtype))


def _by_covariance(rng, dtype):
    loc, factor = rng.normal(size=2), tril(rng, 2)
    covariance = (factor @ factor.T).astype(dtype)
    return jd.MultivariateNormal(
        jnp.asarray(loc, dtype), covariance_matrix=jnp.asarray(0.5 * (covariance + covariance.T))
    )


def _independent(rng, dtype):
    loc, scale = rng.normal(size=2), np.exp(0.4 * rng.normal(size=2))
    return jd.Independent(jd.Normal(jnp.asarray(loc, dtype), jnp.asarray(scale, dtype)), 1)


def _mixture(rng, dtype):
    weights, loc = rng.dirichlet(np.full(3, 3.0)), 1.5 * rng.normal(size=3)
    scale = np.exp(0.2 * rng.normal(size=3))
    return jd.Mixture(
        jd.logits(jnp.asarray(np.log(weights), dtype)),
        jd.Normal(jnp.asarray(loc, dtype), jnp.asarray(scale, dtype)),
    )


def logistic_log_density(x, loc, scale):
    """Of the logistic distribution, normalised."""
    z = (x - loc) / scale
    return -z - 2 * jnp.logaddexp(jnp.zeros_like(z), -z) - jnp.log(scale)


def _log_density(rng, dtype):
    loc, scale = jnp.asarray(0.5 * rng.normal(), dtype), jnp.asarray(0.6, dtype)
    points = jnp.asarray(np.linspace(-12, 12, 13), dtype)
    return jd.LogDensity(logistic_log_density, (loc, scale), points=points, normalized=True)


FAMILIES = [
    Family("normal", _normal),
    Family("multivariate normal", _by_tril, 2),
    Family("multivariate normal by covariance", _by_covariance, 2),
    Family("independent normals", _independent, 2),
    Family("mixture", _mixture),
    Family("log density", _log_density),
]
OBSERVATIONS = [
    Family("point mass", lambda rng, dtype: jd.PointMass(jnp.asarray(rng.normal(), dtype))),
    Family("samples", lambda rng, dtype: jd.samples(jnp.asarray(rng.normal(size=7), dtype))),
]


def moments(dist: Any, moved: tuple[str, int, Any] = ("", 0, 0)) -> tuple[Any, Any]:
    """Mean and covariance (mpmath) of a normal distribution of any kind, an entry of it moved."""

    def read(owner, name):
        values = exact(getattr(owner, name))
        if name == moved[0]:
            values[moved[1]] += moved[2]
        return values

    match dist:
        case jd.Normal():
            return mp.matrix(read(dist, "loc")), mp.matrix(read(dist, "scale")) ** 2
        case jd.Independent(base=jd.Normal()):
            loc, scale = read(dist.base, "loc"), read(dist.base, "scale")
            return mp.matrix(loc), mp.diag([s * s for s in scale])
        case jd.MultivariateNormal():
            loc = mp.matrix(read(dist, "loc"))
            size = len(loc)
            given = "covariance_matrix" if dist.scale_tril is None else "scale_tril"
            flat = read(dist, given)
            full = mp.matrix([flat[i * size : (i + 1) * size] for i in range(size)])
            if dist.scale_tril is None:
                return loc, (full + full.T) / 2
            lower = mp.matrix(size, size)
            for i in range(size):
                for j in range(i + 1):
                    lower[i, j] = full[i, j]
            return loc, lower * lower.T
    raise AssertionError(type(dist))


def normal_reference(functional: Any, *pairs: Any) -> Any:
    """The textbook closed forms between normal distributions, from means and covariances."""
    (mean_p, cov_p), (mean_q, cov_q) = pairs[0], pairs[-1]
    size = len(mean_p)
    if isinstance(functional, jd.Renyi) and functional.order == 1:
        functional = jd.KL()
    log_det_p, log_det_q = mp.log(mp.det(cov_p)), mp.log(mp.det(cov_q))
    shift = mean_p - mean_q
    to_q = cov_q**-1
    square = (shift.T * to_q * shift)[0]
    trace = sum((to_q * cov_p)[i, i] for i in range(size))
    volume = (log_det_p + size * mp.log(2 * mp.pi)) / 2
    entropy = volume + mp.mpf(size) / 2
    kl = (square + trace - size + log_det_q - log_det_p) / 2
    match functional:
        case jd.Entropy():
            return entropy
        case jd.RenyiEntropy(order=0.0):
            return INF
        case jd.RenyiEntropy(order=math.inf):
            return volume
        case jd.RenyiEntropy():
            order = mp.mpf(float(functional.order))
            return volume + size * mp.log(order) / (order - 1) / 2
        case jd.TsallisEntropy():
            order = mp.mpf(float(functional.order))
            renyi_value = normal_reference(jd.RenyiEntropy(functional.order), *pairs)
            return mp.expm1((1 - order) * renyi_value) / (1 - order)
        case jd.Varentropy():
            return mp.mpf(size) / 2
        case jd.InformationVariance():
            # The log-ratio is a quadratic form in independent standard normals.
            excess = to_q * cov_p - mp.eye(size)
            square = sum((excess * excess)[i, i] for i in range(size))
            return square / 2 + (shift.T * to_q * cov_p * to_q * shift)[0]
        case jd.KL():
            return kl
        case jd.CrossEntropy():
            return entropy + kl
        case jd.Jeffreys():
            return kl + normal_reference(jd.KL(), pairs[1], pairs[0])
        case jd.Renyi(order=0.0):
            return ZERO
        case jd.Renyi(order=math.inf):
            gaps, axes = mp.eigsy(cov_q - cov_p)
            along = axes.T * shift
            pairs = list(zip(gaps, along, strict=True))
            if any(g < 0 or (g == 0 and y) for g, y in pairs):
                return INF
            squares = mp.fsum(y**2 / g for g, y in pairs if g)
            return (squares + log_det_q - log_det_p) / 2
        case jd.Renyi():
            # Gil, Alajaji & Linder 2013, Table 2.
            order = mp.mpf(float(functional.order))
            mixed = order * cov_q + (1 - order) * cov_p
            if any(mp.det(mixed[: i + 1, : i + 1]) <= 0 for i in range(size)):
                return INF
            gap = mp.log(mp.det(mixed)) - (1 - order) * log_det_p - order * log_det_q
            return order * (shift.T * mixed**-1 * shift)[0] / 2 + gap / (2 * (1 - order))
        case jd.SquaredHellinger():
            return -mp.expm1(-normal_reference(jd.Renyi(0.5), *pairs) / 2)
        case jd.ChiSquared():
            return mp.expm1(normal_reference(jd.Renyi(2.0), *pairs))
        case jd.NeymanChiSquared():
            return mp.expm1(normal_reference(jd.Renyi(2.0), *pairs[::-1]))
        case jd.CressieRead():
            return _power_reference(functional.power + 1, *pairs)
        case jd.AmariAlpha():
            return _power_reference((1 - functional.alpha) / 2, *pairs)
        case jd.Tsallis():
            return functional.order * _power_reference(functional.order, *pairs)
        case jd.ChernoffInformation():
            return _chernoff_reference(*pairs)
    raise AssertionError(f"no closed form is claimed for {functional}")


def _power_reference(order: float, p: Any, q: Any) -> Any:
    if order < 0.5:
        order, p, q = 1 - order, q, p
    affinity = (order - 1) * normal_reference(jd.Renyi(order), p, q)
    return mp.expm1(affinity) / (mp.mpf(order) * (mp.mpf(order) - 1))


def _chernoff_reference(p: Any, q: Any) -> Any:
    """The largest of (1 - a) R_a, by bisection on its slope."""
    (mean_p, cov_p), (mean_q, cov_q) = p, q
    shift, ends = mean_p - mean_q, [mp.log(mp.det(cov)) for cov in (cov_p, cov_q)]

    def exponent(a):
        mixed = a * cov_q + (1 - a) * cov_p
        square = a * (1 - a) * (shift.T * mixed**-1 * shift)[0]
        return (square + mp.log(mp.det(mixed)) - (1 - a) * ends[0] - a * ends[1]) / 2

    low, high, step = ZERO, mp.mpf(1), mp.mpf(10) ** (-mp.mp.dps // 3)
    for _ in range(int(1.2 * mp.mp.dps)):
        a = (low + high) / 2
        up = exponent(a + step) > exponent(a - step)
        low, high = (a, high) if up else (low, a)
    return exponent(low)

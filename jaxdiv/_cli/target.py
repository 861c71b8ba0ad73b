"""The density that a Gaussian is fitted to: estimated from data, or known exactly."""

import functools
import math
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

import jaxdiv as jd

from .._data import old_faithful
from .errors import FitError, InputError
from .request import DataSource, ExactSource, MixtureDensity
from .table import Column, read_columns

MIXTURE_STARTS = 8
_MOST_KERNELS = 2000  # beyond which a run takes minutes
_ORDERS = (8, 16, 32, 64)  # of the quadrature; the first is its default
_EXACT_WEIGHTS = {"sym1d": (0.5, 0.5), "asym1d": (0.7, 0.3)}


@dataclass(frozen=True)
class Work:
    """What a fit took: how many starts, how many of them came to an optimum, at what cost."""

    starts: int
    converged: int
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Target:
    """A density on the line: its moments, its outermost components' means, its entropy in nats.

    `rule` integrates it. `components` are the weights, means and scales of a mixture, in the order
    of the means; a kernel density has a `bandwidth` instead.
    """

    title: str
    method: str
    density: jd.Mixture
    mean: float
    deviation: float
    reach: tuple[float, float]
    entropy: float
    rule: jd.Quadrature
    data: Column | None = None
    components: tuple[tuple[float, float, float], ...] = ()
    log_likelihood: float | None = None
    bandwidth: float | None = None
    work: Work | None = None


def read_data(source: DataSource | ExactSource) -> tuple[Column, ...]:
    """The columns of numbers that are asked for; none for an exact target."""
    if isinstance(source, ExactSource):
        return ()
    if source.file is not None:
        return read_columns(source.file, source.columns)
    columns = old_faithful()._asdict()
    names = source.columns or ("eruptions",)
    for name in names:
        if name not in columns:
            raise InputError(f"Old Faithful has columns {', '.join(columns)}, not {name!r}.")
    return tuple(Column(name, columns[name], "Old Faithful") for name in names)


def make_target(source: DataSource | ExactSource, data: tuple[Column, ...], seed: int) -> Target:
    """The density that is asked for, on the line."""
    if isinstance(source, ExactSource):
        return _exact(source.target)
    (column,) = data
    if isinstance(source.density, MixtureDensity):
        return _mixture(column, source.density.num_components, seed)
    return _kernel(column, source.density.bandwidth)


def kernel_bandwidth(values: Float[np.ndarray, " n"], rule: str | float) -> float:
    r"""The standard deviation of the kernel, $h = c\, s\, n^{-1/5}$, or a number as it stands.

    $s$ is the sample's standard deviation (divisor $n - 1$); $c = (4/3)^{1/5}$ by Silverman's rule
    and 1 by Scott's, as `scipy.stats.gaussian_kde` has them in one dimension. (R's `bw.nrd0`,
    which replaces $s$ by the smaller of $s$ and a scaled interquartile range, is another rule.)
    """
    if not isinstance(rule, str):
        return rule
    constant = {"silverman": (4 / 3) ** 0.2, "scott": 1.0}[rule]
    return float(constant * values.std(ddof=1) * values.size**-0.2)


def _exact(name: str) -> Target:
    weights = np.array(_EXACT_WEIGHTS[name])
    locs, scales = np.array([-2.0, 2.0]), np.array([0.5, 0.5])
    words = " + ".join(
        f"{w:g} N({m:g}, {s:g}²)" for w, m, s in zip(weights, locs, scales, strict=True)
    )
    return _gaussian_mixture(f"{name}, {words}", "known exactly", weights, locs, scales)


def _mixture(data: Column, num_components: int, seed: int) -> Target:
    values, distinct = data.values, np.unique(data.values).size
    if distinct <= num_components > 1:
        raise InputError(
            f"{data.source}, column {data.name!r} has {distinct} distinct values: a mixture of "
            f"{num_components} Gaussians needs more than {num_components}."
        )
    # In units of the sample's own spread, so that the result does not depend on theirs.
    mean, deviation = values.mean(), values.std()
    z = (values - mean) / deviation
    share = np.full(num_components, 1 / num_components)
    initial = jd.Mixture(
        jd.probs(share), jd.Normal(np.quantile(z, np.cumsum(share) - share / 2), share)
    )
    began = time.perf_counter()
    found = jd.fit(
        jd.forward_kl(jd.samples(z)),
        initial,
        starts=MIXTURE_STARTS,
        key=jax.random.key(seed),
        throw=False,
    )
    work = work_of(found, began)
    if not found.is_distinct.any():
        raise FitError(no_maximum(num_components) + ", or --density kde.")
    best: Any = found.distribution  # a Mixture of a batch of Normal
    return _gaussian_mixture(
        f"{data.source}, {data.name}",
        f"mixture of {num_components} Gaussian{'s' * (num_components > 1)} by maximum likelihood",
        np.asarray(best.mixing.values),
        mean + deviation * np.asarray(best.components.loc),
        deviation * np.asarray(best.components.scale),
        data=data,
        log_likelihood=-values.size * float(found.value + np.log(deviation)),
        work=work,
    )


def _kernel(data: Column, rule: str | float) -> Target:
    values = data.values
    width = kernel_bandwidth(values, rule)
    # Equal values share a component: the same density with fewer of them.
    locs, counts = np.unique(values, return_counts=True)
    if locs.size > _MOST_KERNELS:
        raise InputError(
            f"{data.source}, column {data.name!r} has {locs.size} distinct values, and a kernel "
            f"density serves at most {_MOST_KERNELS}: take --density mixture:K, or round them."
        )
    named = f"{rule} rule" if isinstance(rule, str) else "as given"
    return _gaussian_mixture(
        f"{data.source}, {data.name}",
        f"Gaussian kernel of bandwidth {width:.6g} ({named})",
        counts / values.size,
        locs,
        np.full(locs.shape, width),
        data=data,
        bandwidth=width,
    )


def _gaussian_mixture(title, method, weights, locs, scales, **facts) -> Target:
    order = np.argsort(locs)
    weights, locs, scales = weights[order], locs[order], scales[order]
    mean = float(weights @ locs)
    deviation = math.sqrt(float(weights @ (scales**2 + (locs - mean) ** 2)))
    density = jd.Mixture(jd.probs(weights), jd.Normal(locs, scales))
    entropy, rule = integrated(density)
    if "bandwidth" not in facts:
        columns = (weights.tolist(), locs.tolist(), scales.tolist())
        facts["components"] = tuple(zip(*columns, strict=True))
    reach = float(locs[0]), float(locs[-1])
    return Target(title, method, density, mean, deviation, reach, entropy, rule, **facts)


def integrated(density: jd.Mixture) -> tuple[float, jd.Quadrature]:
    """The entropy in nats, and the least quadrature rule that resolves the density."""
    for order in _ORDERS:
        rule = jd.Quadrature(order)
        coarse, fine = map(float, _entropies(density, (rule, rule.refined())))
        if abs(coarse - fine) <= 1e-10 * max(1.0, abs(fine)):  # not so where either is NaN
            return fine, rule
    raise InputError(
        "the density is too rough for its width to be integrated: take a larger --bandwidth, a "
        "smaller K, or leave out extreme values."
    )


@functools.partial(jax.jit, static_argnums=1)
def _entropies(density: jd.Mixture, rules: tuple[jd.Quadrature, ...]):
    return [jd.entropy(density, estimator=rule) for rule in rules]


def no_maximum(num_components: int) -> str:
    """Why a mixture could not be estimated."""
    return (
        f"no maximum of the likelihood was found for a mixture of {num_components} Gaussians "
        "(it is unbounded where a component shrinks onto one value): take a smaller K"
    )


def work_of(found: jd.Fit, began: float) -> Work:
    """The cost of a fit that began at that time of `time.perf_counter`, compiling included."""
    jax.block_until_ready(found.value)
    seconds = time.perf_counter() - began
    counts = np.asarray(found.num_evaluations)
    converged = int(np.sum(np.asarray(found.cluster) >= 0))
    return Work(counts.size, converged, int(counts.sum()), seconds)

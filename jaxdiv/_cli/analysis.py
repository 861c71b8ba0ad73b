"""One Gaussian fitted to the target, and every number that the report shows."""

import functools
import math
from dataclasses import dataclass

import jax
import numpy as np

import jaxdiv as jd

from .descent import descend
from .request import Direction, Request
from .target import Target, Work

# Optima whose values agree to this many nats are equally good: sym1d has two global ones.
_TIE = 1e-9
_ORDER = 32  # of the quadrature behind the numbers that are reported


@dataclass(frozen=True)
class Optimum:
    """An optimum of one direction; `starts` of the starting points ended there."""

    loc: float
    scale: float
    kl: float
    is_global: bool
    starts: int


@dataclass(frozen=True)
class DirectedFit:
    """The fit in one direction.

    `kl` and `cross_entropy` are each a pair: (target, fit) and (fit, target).
    """

    direction: Direction
    loc: float
    scale: float
    kl: tuple[float, float]
    entropy: float
    cross_entropy: tuple[float, float]
    optima: tuple[Optimum, ...]
    work: Work
    path: jd.Normal | None


@dataclass(frozen=True)
class Analysis:
    """The fits and what they are compared with; all in `unit`, of which `nats` make one nat."""

    unit: str
    nats: float
    entropy: float
    modes: tuple[float, ...]
    fits: tuple[DirectedFit, ...]


def objective(direction: Direction, target: Target):
    """The forward or the reverse KL of a Gaussian and the target."""
    make = {"forward": jd.forward_kl, "reverse": jd.reverse_kl}[direction]
    # By default the forward one has a closed form up to a constant, which compiles faster.
    return make(target.density, None if target.rule == jd.Quadrature() else target.rule)


def analyse(target: Target, request: Request) -> Analysis:
    """Fits a Gaussian in each direction that is asked for.

    Raises:
        FitError: where no start of a direction ends in an optimum.
        InputError: where the file to resume from is of another fit.
    """
    found = descend(
        lambda direction: objective(direction, target),
        jd.Normal(np.asarray(target.mean), np.asarray(target.deviation)),
        request,
        record=True,
    )
    distinct = {
        direction: jax.tree.map(lambda x, keep=fit.is_distinct: x[keep], fit.optima)
        for direction, (fit, _) in found.items()
    }
    stacked = jax.tree.map(lambda *x: np.concatenate(x), *distinct.values())
    around = _between_components(target)
    # Many nodes to a panel, for a wide fit reaches where log p bends from component to component.
    rule = jd.Quadrature(max(_ORDER, target.rule.order))
    of_optima, heights = _measured(target.density, stacked, around, base=request.base, rule=rule)
    rows = iter(zip(*(np.asarray(x).tolist() for x in of_optima), strict=True))
    fits = []
    for direction, (fit, work) in found.items():
        measures = [next(rows) for _ in range(int(fit.is_distinct.sum()))]
        fits.append(_directed(direction, fit, distinct[direction], measures, work))
    nats = 1.0 if request.base is None else 1 / math.log(request.base)
    return Analysis(
        unit_of(request.base),
        nats,
        target.entropy * nats,
        _modes(around, np.asarray(heights)),
        tuple(fits),
    )


def _directed(
    direction: Direction, fit: jd.Fit, distinct: jd.Normal, measures: list, work: Work
) -> DirectedFit:
    best, column = measures[0], {"forward": 0, "reverse": 1}[direction]
    cluster = np.asarray(fit.cluster)
    numbers = cluster[np.asarray(fit.is_distinct)]
    optima = tuple(
        Optimum(
            loc=float(distinct.loc[i]),
            scale=float(distinct.scale[i]),
            kl=measure[column],
            is_global=measure[column] <= best[column] + _TIE,
            starts=int(np.sum(cluster == numbers[i])),
        )
        for i, measure in enumerate(measures)
    )
    forward, reverse, entropy, forward_cross, reverse_cross = best
    return DirectedFit(
        direction,
        optima[0].loc,
        optima[0].scale,
        kl=(forward, reverse),
        entropy=entropy,
        cross_entropy=(forward_cross, reverse_cross),
        optima=optima,
        work=work,
        path=fit.path,
    )


# One program, for compiling is what takes the time. The cross-entropies are computed on their own,
# not as sums, so that H(P, Q) = H(P) + KL(P‖Q) in the report is no tautology.
@functools.partial(jax.jit, static_argnames=("base", "rule"))
def _measured(density: jd.Mixture, fits: jd.Normal, around: np.ndarray, *, base, rule):
    def measures(fit):
        return (
            jd.kl(density, fit, base=base, estimator=rule),
            jd.kl(fit, density, base=base, estimator=rule),
            jd.entropy(fit, base=base),
            jd.cross_entropy(density, fit, base=base, estimator=rule),
            jd.cross_entropy(fit, density, base=base, estimator=rule),
        )

    return jax.vmap(measures)(fits), density.log_prob(around)


def _between_components(target: Target) -> np.ndarray:
    # All modes of a Gaussian mixture on the line lie between its outermost means.
    low, high = target.reach
    margin = 0.01 * target.deviation
    even = np.linspace(low - margin, high + margin, 4001)
    return np.union1d(even, [loc for _, loc, _ in target.components])


def _modes(x: np.ndarray, height: np.ndarray) -> tuple[float, ...]:
    inside = height[1:-1]
    return tuple(x[1:-1][(inside > height[:-2]) & (inside >= height[2:])].tolist())


def unit_of(base: float | None) -> str:
    """The name of the unit of logarithms of this base."""
    names = {None: "nats", math.e: "nats", 2.0: "bits", 10.0: "hartleys"}
    return names.get(base) or f"base {base:g}"

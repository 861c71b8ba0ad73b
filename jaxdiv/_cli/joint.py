"""A family fitted to a density over vectors, by a divergence."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import jaxdiv as jd

from .analysis import unit_of
from .descent import descend
from .family import Component, components_of, first_member
from .joint_target import JointTarget
from .request import Direction, Family, Objective, Request
from .target import Work

_NUM_DRAWS = 4096  # where no quadrature serves
_TIE = 1e-9


@dataclass(frozen=True)
class JointOptimum:
    """An optimum: its value and the member's parameters; `starts` of the starts ended there."""

    value: float
    components: tuple[Component, ...]
    is_global: bool
    starts: int


@dataclass(frozen=True)
class JointFit:
    """The fit in one direction (or the only one), of which `best` is the member.

    `kl` is the pair (target, fit) and (fit, target), whatever was minimised; `how` says in words
    what was minimised, and by which estimators.
    """

    name: str
    best: Any
    kl: tuple[float, float]
    optima: tuple[JointOptimum, ...]
    how: str
    work: Work


@dataclass(frozen=True)
class JointAnalysis:
    """The fits; values in `unit`, of which `nats` make one nat."""

    unit: str
    nats: float
    fits: tuple[JointFit, ...]


def analyse_joint(target: JointTarget, request: Request) -> JointAnalysis:
    """Fits the family in each direction that is asked for.

    Raises:
        FitError: where no start of a direction ends in an optimum.
        InputError: where the file to resume from is of another fit.
    """
    estimator = _estimator(target, request.family)
    functional = _functional(request.objective)

    def objective(direction: Direction) -> Any:
        side = {"forward": jd.Forward, "reverse": jd.Reverse}[direction]
        return side(functional, target.density, estimator)

    found = descend(
        objective, first_member(request.family, target.mean, target.covariance), request
    )
    nats = 1.0 if request.base is None else 1 / math.log(request.base)
    both = jd.forward_kl(target.density, estimator), jd.reverse_kl(target.density, estimator)
    fits = []
    for direction, (fit, work) in found.items():
        kl = _values(both, fit.distribution)
        name = "symmetric" if request.objective.is_symmetric else direction
        fits.append(
            JointFit(
                name,
                fit.distribution,
                (float(kl[0]) * nats, float(kl[1]) * nats),
                _optima(fit, nats),
                fit.quantity,
                work,
            )
        )
    return JointAnalysis(unit_of(request.base), nats, tuple(fits))


def _estimator(target: JointTarget, family: Family) -> jd.AbstractEstimator | None:
    # A t has more mass far out, in more than one dimension, than the panels of a box reach.
    heavy = family.name == "student_t" and len(target.names) > 1
    if target.rule is None or heavy:
        # Of Gaussians the cross-entropy is exact, and found where no estimator is named.
        return None if family.name in ("normal", "mvn") else jd.FixedDraws(_NUM_DRAWS)
    return None if target.rule == jd.Quadrature() else target.rule


def _functional(objective: Objective) -> jd.AbstractDivergence:
    if objective.name == "renyi":
        assert objective.order is not None
        return jd.Renyi(objective.order)
    return {"kl": jd.KL, "jeffreys": jd.Jeffreys, "js": jd.JensenShannon}[objective.name]()


@jax.jit
def _values(objectives: tuple[Any, Any], member: Any) -> tuple[Any, Any]:
    forward, reverse = objectives
    return forward.evaluate(member), reverse.evaluate(member)


def _optima(fit: jd.Fit, nats: float) -> tuple[JointOptimum, ...]:
    cluster, values = np.asarray(fit.cluster), np.asarray(fit.values)
    best = float(values[0])
    return tuple(
        JointOptimum(
            value=float(values[i]) * nats,
            components=components_of(jax.tree.map(lambda x, i=i: x[i], fit.optima)),
            is_global=bool(values[i] <= best + _TIE),
            starts=int(np.sum(cluster == cluster[i])),
        )
        for i in np.flatnonzero(np.asarray(fit.is_distinct))
    )

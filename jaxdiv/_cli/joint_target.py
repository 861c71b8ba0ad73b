"""The density that a family is fitted to, over vectors: the columns' Gaussian mixture."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

import jaxdiv as jd

from .errors import FitError, InputError
from .family import Component, components_of, mixture_along
from .request import DataSource, MixtureDensity, Request
from .table import Column
from .target import MIXTURE_STARTS, Work, integrated, make_target, no_maximum, work_of


@dataclass(frozen=True)
class JointTarget:
    """A density over vectors of the columns called `names`; `rule` integrates it, where one can.

    `components` are shown: not those of a kernel density.
    """

    title: str
    method: str
    names: tuple[str, ...]
    density: jd.Mixture
    mean: Float[np.ndarray, " D"]
    covariance: Float[np.ndarray, "D D"]
    rule: jd.Quadrature | None
    entropy: float | None
    data: tuple[Column, ...] = ()
    components: tuple[Component, ...] = ()
    log_likelihood: float | None = None
    work: Work | None = None


def make_joint_target(request: Request, data: tuple[Column, ...]) -> JointTarget:
    """The density that is asked for."""
    if request.dim == 1:
        return _of_line(request, data)
    source = request.source
    assert isinstance(source, DataSource) and isinstance(source.density, MixtureDensity)
    return _mixture(data, source.density.num_components, request.seed)


def _of_line(request: Request, data: tuple[Column, ...]) -> JointTarget:
    line = make_target(request.source, data, request.seed)
    parts: Any = line.density.components
    locs, scales = np.asarray(parts.loc), np.asarray(parts.scale)
    density = jd.Mixture(
        line.density.mixing, jd.MultivariateNormal(locs[:, None], scales[:, None, None])
    )
    return JointTarget(
        line.title,
        line.method,
        tuple(column.name for column in data) or ("x",),
        density,
        np.array([line.mean]),
        np.array([[line.deviation**2]]),
        line.rule,
        line.entropy,
        data=data,
        components=components_of(density) if line.components else (),
        log_likelihood=line.log_likelihood,
        work=line.work,
    )


def _mixture(data: tuple[Column, ...], num_components: int, seed: int) -> JointTarget:
    source, names = data[0].source, tuple(column.name for column in data)
    values = np.stack([column.values for column in data], 1)
    dim, distinct = len(names), len(np.unique(values, axis=0))
    if distinct <= num_components * dim:
        raise InputError(
            f"{source}, columns {', '.join(map(repr, names))} have {distinct} distinct rows: a "
            f"mixture of {num_components} Gaussians in {dim} dimensions needs more than "
            f"{num_components * dim}; take a smaller K in --density mixture:K."
        )
    # In units of the sample's own spread, so that the result does not depend on theirs.
    mean, deviation = values.mean(0), values.std(0)
    z = (values - mean) / deviation
    correlation = z.T @ z / len(z)
    if np.linalg.matrix_rank(correlation, hermitian=True) < dim:
        raise InputError(
            f"{source}, columns {', '.join(map(repr, names))} are linearly dependent, and have no "
            "density: leave out a --column."
        )
    began = time.perf_counter()
    found = jd.fit(
        jd.forward_kl(jd.samples(z)),
        mixture_along(num_components, np.zeros(dim), correlation),
        starts=MIXTURE_STARTS,
        key=jax.random.key(seed),
        throw=False,
    )
    work = work_of(found, began)
    if not found.is_distinct.any():
        raise FitError(no_maximum(num_components) + ".")
    best: Any = found.distribution
    parts = best.components
    weights = np.asarray(best.mixing.values)
    density = jd.Mixture(
        jd.probs(weights),
        jd.MultivariateNormal(
            mean + deviation * np.asarray(parts.loc),
            deviation[:, None] * np.asarray(parts.scale_tril),
        ),
    )
    entropy, rule = integrated(density) if dim <= 3 else (None, None)
    components = components_of(density)
    centre, covariance = _moments(components)
    return JointTarget(
        f"{source}, {', '.join(names)}",
        f"mixture of {num_components} Gaussian{'s' * (num_components > 1)} by maximum likelihood",
        names,
        density,
        centre,
        covariance,
        rule,
        entropy,
        data=data,
        components=components,
        log_likelihood=-len(z) * float(found.value + np.log(deviation).sum()),
        work=work,
    )


def _moments(components: tuple[Component, ...]) -> tuple[np.ndarray, np.ndarray]:
    mean = sum(c.weight * c.loc for c in components)
    spread = sum(c.weight * (c.scale + np.outer(c.loc - mean, c.loc - mean)) for c in components)
    return np.asarray(mean), np.asarray(spread)

"""What is tested: every functional, operand and estimator, each with a reference of its own.

A new one is tested by being listed here. References are the textbook definitions in mpmath, from
nothing of the package.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportOptionalIterable=false, reportGeneralTypeIssues=false

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

import jaxdiv as jd
from jaxdiv._estimator.exact import has_closed_form
from jaxdiv._operand.discrete import AbstractDiscrete

from .oracle import ZERO, Softmax, exact

INF = mp.inf


# Functionals: the term that an outcome with masses p, q contributes. It is the generalised one
# (Bregman), equal in the sum to the textbook's where both are normalised.


def summed(term):
    return lambda *masses: mp.fsum(term(*m) for m in zip(*masses, strict=True))


def _x_log(x, ratio):
    return x * mp.log(ratio) if x else ZERO


def kl_term(p, q):
    if p and not q:
        return INF
    return _x_log(p, p / q if q else 1) - p + q


def jeffreys_term(p, q):
    if (p == 0) != (q == 0):
        return INF
    return (p - q) * mp.log(p / q) if p else ZERO


def js_term(beta):
    def term(p, q):
        m = beta * p + (1 - beta) * q
        if not m:
            return ZERO
        return beta * _x_log(p, p / m) + (1 - beta) * _x_log(q, q / m)

    return term


def cross_entropy_term(p, q):
    return INF if p and not q else -p * (mp.log(q) if q else 0)


def triangular_term(p, q):
    return (p - q) ** 2 / (p + q) if p or q else ZERO


def chi_squared_term(p, q):
    if not q:
        return INF if p else ZERO
    return (p - q) ** 2 / q


def renyi(order):
    def reference(p, q):
        if order == 1:
            return summed(kl_term)(p, q)
        if order > 1 and any(x and not y for x, y in zip(p, q, strict=True)):
            return INF
        pairs = [(x, y) for x, y in zip(p, q, strict=True) if x and y]
        affinity = mp.fsum(x**order * y ** (1 - order) for x, y in pairs)
        if not affinity:
            return INF
        # Near equality the masses' own rounding would count: the generalised form leaves it out.
        if abs(mp.log(affinity)) < 0.4:
            affinity += 1 - (1 - order) * mp.fsum(q) - order * mp.fsum(p)
        return mp.log(affinity) / (order - 1)

    return reference


@dataclass(frozen=True)
class Functional:
    """`reference` takes lists of masses; `scale` times `swapped(q, p)` is the same."""

    name: str
    value: Any
    reference: Callable[..., Any]
    swapped: Any = None
    scale: float = 1.0
    bound: float = math.inf

    @property
    def is_divergence(self) -> bool:
        return isinstance(self.value, jd.AbstractDivergence)

    @property
    def arity(self) -> int:
        return 1 if isinstance(self.value, jd.Entropy) else 2

    def __call__(self, p, q, **kwargs) -> Any:
        if self.arity == 1:
            return jd.entropy(p, **kwargs)
        return jd.divergence(self.value, p, q, **kwargs)


def _renyi(order: float, **kwargs) -> Functional:
    return Functional(f"renyi {order}", jd.Renyi(order), renyi(mp.mpf(order)), **kwargs)


def _js(beta: float) -> Functional:
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    reference = summed(js_term(mp.mpf(beta)))
    swapped = jd.JensenShannon(1 - beta)
    return Functional(f"js {beta}", jd.JensenShannon(beta), reference, swapped, bound=bound)


REVERSE_KL = jd.FDivergence(lambda u: -jnp.log(u), at_zero=math.inf, slope_at_infinity=0.0)
NEYMAN = jd.FDivergence(lambda u: (1 - u) ** 2 / u, at_zero=math.inf, slope_at_infinity=1.0)
TRIANGULAR = jd.FDivergence(lambda u: (u - 1) ** 2 / (u + 1), at_zero=1.0, slope_at_infinity=1.0)

FUNCTIONALS = [
    Functional("entropy", jd.Entropy(), summed(lambda p: -_x_log(p, p))),
    Functional("cross entropy", jd.CrossEntropy(), summed(cross_entropy_term)),
    Functional("kl", jd.KL(), summed(kl_term), REVERSE_KL),
    Functional("jeffreys", jd.Jeffreys(), summed(jeffreys_term), jd.Jeffreys()),
    _js(0.5),
    _js(0.25),
    Functional(
        "total variation",
        jd.TotalVariation(),
        summed(lambda p, q: abs(p - q) / 2),
        jd.TotalVariation(),
        bound=1.0,
    ),
    Functional(
        "squared hellinger",
        jd.SquaredHellinger(),
        summed(lambda p, q: (mp.sqrt(p) - mp.sqrt(q)) ** 2 / 2),
        jd.SquaredHellinger(),
        bound=1.0,
    ),
    Functional("chi squared", jd.ChiSquared(), summed(chi_squared_term), NEYMAN),
    _renyi(0.25, swapped=jd.Renyi(0.75), scale=1 / 3),
    _renyi(1.0, swapped=REVERSE_KL),
    _renyi(2.0),
    Functional("f-divergence", TRIANGULAR, summed(triangular_term), TRIANGULAR, bound=2.0),
]
DIVERGENCES = [f for f in FUNCTIONALS if f.is_divergence]


def evaluate(functionals: list[Functional], p: Any, q: Any, **kwargs) -> Any:
    """All of them, on a new first axis; those of Renyi are compiled once for all orders."""
    others = [f for f in functionals if not isinstance(f.value, jd.Renyi)]
    values = {f.name: f(p, q, **kwargs) for f in others}
    renyis = [f for f in functionals if isinstance(f.value, jd.Renyi)]
    if renyis:
        leaves = [jnp.asarray(x) for x in jax.tree.leaves((p, q))]
        floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact) or x.dtype == bool]
        single = any(x.dtype.itemsize <= 4 for x in floats if jnp.issubdtype(x, jnp.floating))
        dtype = jnp.float32 if single else jnp.float64
        orders = jnp.asarray([f.value.order for f in renyis], dtype)
        stacked = jax.vmap(lambda order: jd.renyi(p, q, order, **kwargs))(orders)
        values |= {f.name: value for f, value in zip(renyis, stacked, strict=True)}
    return jnp.stack(jnp.broadcast_arrays(*(values[f.name] for f in functionals)))


# Discrete operands.


def simplex(rng: np.random.Generator, shape: tuple[int, ...], sharp: float = 1.0) -> np.ndarray:
    """Probability vectors on the last axis, whose float32 entries sum to 1 without rounding."""
    counts = np.floor(rng.dirichlet(np.full(shape[-1], sharp), shape[:-1]) * 2**20)
    counts[..., 0] += 2**20 - counts.sum(-1)
    return counts / 2**20


@dataclass(frozen=True)
class Form:
    """A way to hold masses; `of` makes one of `[..., V]` probabilities that are floats."""

    name: str
    of: Callable[[Any], Any]
    renyi: bool = True
    differentiable: bool = True


def _log(p):
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(np.asarray(p, np.float64)).astype(p.dtype))


FORMS = [
    Form("probs", lambda p: jd.probs(p)),
    Form("log_probs", lambda p: jd.log_probs(_log(p))),
    Form("masses", lambda p: jd.masses(p), renyi=False),
    Form("logits", lambda p: jd.logits(_log(p) + 1)),
    Form(
        "labels",
        lambda p: jd.labels(jnp.argmax(p, -1), num_classes=p.shape[-1]),
        differentiable=False,
    ),
]


def accepts(functional: Functional, *forms: Form) -> bool:
    """Whether the functional is defined for these forms; a `TypeError` otherwise."""
    of_measures = not all(form.renyi for form in forms[: functional.arity])
    return not (of_measures and isinstance(functional.value, jd.Renyi | jd.Entropy))


def masses_of(operand: Any, rows: int | None = None) -> list[list[Any]]:
    """The masses of the first rows of a discrete operand, from its own numbers, not rounded."""
    kind = type(operand).__name__
    operand = jax.tree.map(lambda x: x[:rows] if jnp.ndim(x) else x, operand)
    values = np.asarray(operand.values)
    where = getattr(operand, "where", None)
    where = np.ones_like(values, bool) if where is None else np.asarray(where)
    if kind == "Labels":
        size, rest = operand.num_classes, mp.mpf(operand.smoothing or 0) / operand.num_classes
        rows = values.reshape(-1)
        return [[rest + (i == y) * (1 - size * rest) for i in range(size)] for y in rows]
    rows, masks = (x.reshape(-1, values.shape[-1]) for x in (values, where))
    masked = [
        [v if m else None for v, m in zip(exact(row), mask, strict=True)]
        for row, mask in zip(np.where(masks, rows, 0), masks, strict=True)
    ]
    if kind in ("Probs", "Masses"):
        return [[ZERO if v is None else v for v in row] for row in masked]
    if kind == "LogProbs":
        return [[ZERO if v is None else mp.exp(v) for v in row] for row in masked]
    temperature = 1 if operand.temperature is None else mp.mpf(float(operand.temperature))
    scores = [[-INF if v is None else v / temperature for v in row] for row in masked]
    return [Softmax(row).p for row in scores]


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
    entropy = (log_det_p + size * mp.log(2 * mp.pi) + size) / 2
    kl = (square + trace - size + log_det_q - log_det_p) / 2
    match functional:
        case jd.Entropy():
            return entropy
        case jd.KL():
            return kl
        case jd.CrossEntropy():
            return entropy + kl
        case jd.Jeffreys():
            return kl + normal_reference(jd.KL(), pairs[1], pairs[0])
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
    raise AssertionError(f"no closed form is claimed for {functional}")


# Estimators.


@dataclass(frozen=True)
class Estimator:
    """`draws`: needs a sampler; `linear`: only terms linear in r; `family`: what it is tried on."""

    name: str
    value: Any
    draws: bool = False
    linear: bool = False
    family: Family = FAMILIES[4]

    def serves(self, functional: Functional, p: Any, q: Any) -> bool:
        """Whether it has an answer; tests of the errors are elsewhere."""
        operands = (p, q)[: functional.arity]
        if isinstance(self.value, jd.Enumerate):
            return isinstance(p, AbstractDiscrete)
        if isinstance(self.value, jd.Exact):
            return has_closed_form(functional.value, *operands)
        if self.draws:
            both = isinstance(functional.value, jd.Jeffreys | jd.JensenShannon)
            sampled = operands if both else operands[:1]
            drawable = not any(isinstance(d, jd.LogDensity) for d in sampled)
            return drawable and (not self.linear or isinstance(functional.value, jd.KL))
        return True


CLASSES = Family("classes", lambda rng, dtype: jd.probs(jnp.asarray(simplex(rng, (5,)), dtype)))
CLOSED_FORM = Estimator("closed form", jd.Exact(), family=FAMILIES[0])
ESTIMATORS = [
    CLOSED_FORM,
    Estimator("enumerate", jd.Enumerate(), family=CLASSES),
    Estimator("quadrature", jd.Quadrature()),
    Estimator("quadrature of order 12", jd.Quadrature(12)),
    Estimator("fresh draws", jd.MonteCarlo(4000), draws=True),
    Estimator("fixed draws", jd.FixedDraws(4000), draws=True),
    Estimator(
        "stick the landing",
        jd.MonteCarlo(4000, gradient=jd.StickTheLanding()),
        draws=True,
        linear=True,
    ),
    Estimator("score", jd.MonteCarlo(4000, gradient=jd.Score()), draws=True),
    Estimator("score alone", jd.MonteCarlo(4000, gradient=jd.Score(baseline=None)), draws=True),
]

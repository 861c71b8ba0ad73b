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
from jaxdiv._api import evaluate as evaluate_one
from jaxdiv._estimator.exact import has_closed_form
from jaxdiv._operand.discrete import AbstractDiscrete, Logits

from .families import FAMILIES, Family
from .oracle import ZERO, Softmax, exact
from .textbook import (
    chernoff,
    chi_squared_term,
    cross_entropy_term,
    information_variance,
    jeffreys_term,
    js_term,
    kl_term,
    power_term,
    renyi,
    renyi_entropy,
    summed,
    triangular_term,
    tsallis_entropy,
    x_log,
)

INF = mp.inf


@dataclass(frozen=True)
class Functional:
    """`reference` takes lists of masses; `scale` times `swapped(q, p)` is the same.

    `on_simplex`: slopes in masses are defined along it only. `of_measures`: masses need not sum
    to 1. `draws`: the operands that it is averaged over draws of; `integral`: whether a rule of
    quadrature finds it. `monotone`: under channels. `twin`: a multiple of another that is listed,
    which programs that take long to compile leave out.
    """

    name: str
    value: Any
    reference: Callable[..., Any]
    swapped: Any = None
    scale: float = 1.0
    bound: float = math.inf
    on_simplex: bool = False
    of_measures: bool = True
    draws: str = "p"
    integral: bool = True
    monotone: bool = True
    twin: bool = False

    @property
    def is_divergence(self) -> bool:
        return isinstance(self.value, jd.AbstractDivergence)

    @property
    def arity(self) -> int:
        return 1 if isinstance(self.value, OF_ONE) else 2

    def __call__(self, p, q=None, base=None, estimator=None, key=None) -> Any:
        return evaluate_one(self.value, (p, q)[: self.arity], base, estimator, key)


OF_ONE = (jd.Entropy, jd.RenyiEntropy, jd.TsallisEntropy, jd.Varentropy)
ON_SIMPLEX: dict[str, Any] = dict(on_simplex=True, of_measures=False)


def _renyi(order: float, **kwargs) -> Functional:
    reference = renyi(mp.mpf(order))
    return Functional(f"renyi {order}", jd.Renyi(order), reference, **ON_SIMPLEX, **kwargs)


def _renyi_entropy(order: float, **kwargs) -> Functional:
    value, reference = jd.RenyiEntropy(order), renyi_entropy(mp.mpf(order))
    return Functional(f"renyi entropy {order}", value, reference, **ON_SIMPLEX, **kwargs)


def _power(name: str, value: Any, order: float, times: float = 1.0, **kwargs) -> Functional:
    term = power_term(mp.mpf(order))
    draws = "p" if order >= 0.5 else "pq"
    return Functional(name, value, summed(lambda p, q: times * term(p, q)), draws=draws, **kwargs)


def _js(beta: float) -> Functional:
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    reference = summed(js_term(mp.mpf(beta)))
    swapped = jd.JensenShannon(1 - beta)
    value = jd.JensenShannon(beta)
    return Functional(f"js {beta}", value, reference, swapped, bound=bound, draws="pq")


REVERSE_KL = jd.FDivergence(lambda u: -jnp.log(u), at_zero=math.inf, slope_at_infinity=0.0)
NEYMAN = jd.FDivergence(lambda u: (1 - u) ** 2 / u, at_zero=math.inf, slope_at_infinity=1.0)
TRIANGULAR = jd.FDivergence(lambda u: (u - 1) ** 2 / (u + 1), at_zero=1.0, slope_at_infinity=1.0)

FUNCTIONALS = [
    Functional("entropy", jd.Entropy(), summed(lambda p: -x_log(p, p)), of_measures=False),
    _renyi_entropy(0.0, draws="", integral=False),
    _renyi_entropy(0.5),
    _renyi_entropy(3.0),
    _renyi_entropy(math.inf, draws="", integral=False),
    Functional(
        "tsallis entropy", jd.TsallisEntropy(1.5), tsallis_entropy(mp.mpf(1.5)), of_measures=False
    ),
    Functional(
        "varentropy",
        jd.Varentropy(),
        lambda p: information_variance(p, [mp.mpf(1)] * len(p)),
        draws="",
        **ON_SIMPLEX,
    ),
    Functional("cross entropy", jd.CrossEntropy(), summed(cross_entropy_term)),
    Functional("kl", jd.KL(), summed(kl_term), REVERSE_KL),
    Functional("jeffreys", jd.Jeffreys(), summed(jeffreys_term), jd.Jeffreys(), draws="pq"),
    Functional(
        "information variance",
        jd.InformationVariance(),
        information_variance,
        draws="",
        **ON_SIMPLEX,
    ),
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
    Functional(
        "neyman chi squared",
        jd.NeymanChiSquared(),
        summed(lambda p, q: chi_squared_term(q, p)),
        jd.ChiSquared(),
        draws="pq",
        twin=True,
    ),
    Functional(
        "triangular discrimination",
        jd.TriangularDiscrimination(),
        summed(triangular_term),
        jd.TriangularDiscrimination(),
        bound=2.0,
    ),
    _power(
        "cressie read 2/3", jd.CressieRead(2 / 3), 5 / 3, swapped=jd.CressieRead(-5 / 3), twin=True
    ),
    _power("amari alpha 2", jd.AmariAlpha(2.0), -0.5, swapped=jd.AmariAlpha(-2.0)),
    _power(
        "tsallis 0.25",
        jd.Tsallis(0.25),
        0.25,
        times=0.25,
        swapped=jd.Tsallis(0.75),
        scale=1 / 3,
        bound=4 / 3,
        twin=True,
    ),
    Functional(
        "bregman",
        jd.Bregman(lambda x: x * x),
        summed(lambda p, q: (p - q) ** 2),
        jd.Bregman(lambda x: x * x),
        draws="",
        monotone=False,
    ),
    Functional(
        "chernoff",
        jd.ChernoffInformation(),
        chernoff,
        jd.ChernoffInformation(),
        draws="",
        **ON_SIMPLEX,
    ),
    _renyi(0.0, draws="pq"),
    _renyi(math.inf, draws="", integral=False),
    _renyi(0.25, swapped=jd.Renyi(0.75), scale=1 / 3),
    _renyi(1.0, swapped=REVERSE_KL),
    _renyi(2.0),
    Functional("f-divergence", TRIANGULAR, summed(triangular_term), TRIANGULAR, bound=2.0),
]
DIVERGENCES = [f for f in FUNCTIONALS if f.is_divergence]
DISTINCT = [f for f in FUNCTIONALS if not f.twin]


def evaluate(functionals: list[Functional], p: Any, q: Any, **kwargs) -> Any:
    """All of them, on a new first axis; those with an order are compiled once for all of them."""
    stacked = {}
    for f in functionals:
        if isinstance(f.value, jd.Renyi | jd.RenyiEntropy) and 0 < float(f.value.order) < math.inf:
            stacked.setdefault(type(f.value), []).append(f)
    alone = [f for f in functionals if not any(f in same for same in stacked.values())]
    values = {f.name: f(p, q, **kwargs) for f in alone}
    for kind, same in stacked.items():
        leaves = [jnp.asarray(x) for x in jax.tree.leaves((p, q))]
        floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact) or x.dtype == bool]
        single = any(x.dtype.itemsize <= 4 for x in floats if jnp.issubdtype(x, jnp.floating))
        dtype = jnp.float32 if single else jnp.float64
        orders = jnp.asarray([f.value.order for f in same], dtype)
        operands = (p, q)[: same[0].arity]
        over = jax.vmap(
            lambda order, kind=kind, operands=operands: evaluate_one(
                kind(order), operands, None, kwargs.get("estimator"), kwargs.get("key")
            )
        )
        values |= {f.name: value for f, value in zip(same, over(orders), strict=True)}
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
    return functional.of_measures or not of_measures


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


# Estimators.

BOUNDS = (jd.UpperBound, jd.LowerBound, jd.VariationalApproximation)


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
        if isinstance(self.value, jd.OnePass):
            return isinstance(p, Logits) and isinstance(functional.value, jd.KL)
        if isinstance(self.value, BOUNDS):  # exact between plain distributions
            return isinstance(functional.value, jd.KL) and has_closed_form(functional.value, p, q)
        if isinstance(self.value, jd.Exact):
            return has_closed_form(functional.value, *operands)
        if self.draws:
            sampled = operands[: len(functional.draws)]
            drawable = not any(isinstance(d, jd.LogDensity) for d in sampled)
            return (
                bool(sampled)
                and drawable
                and (not self.linear or isinstance(functional.value, jd.KL))
            )
        return functional.integral


CLASSES = Family("classes", lambda rng, dtype: jd.probs(jnp.asarray(simplex(rng, (5,)), dtype)))
SCORES = Family("scores", lambda rng, dtype: jd.logits(jnp.asarray(rng.normal(size=5), dtype)))
CLOSED_FORM = Estimator("closed form", jd.Exact(), family=FAMILIES[0])
ESTIMATORS = [
    CLOSED_FORM,
    Estimator("enumerate", jd.Enumerate(), family=CLASSES),
    Estimator("one pass", jd.OnePass(), family=SCORES),
    Estimator("upper bound", jd.UpperBound(), family=FAMILIES[0]),
    Estimator("lower bound", jd.LowerBound(), family=FAMILIES[0]),
    Estimator("variational", jd.VariationalApproximation(), family=FAMILIES[0]),
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
    Estimator(
        "doubly reparameterised",
        jd.MonteCarlo(4000, gradient=jd.DoublyReparameterised()),
        draws=True,
        linear=True,
    ),
    Estimator("score", jd.MonteCarlo(4000, gradient=jd.Score()), draws=True),
    Estimator("score alone", jd.MonteCarlo(4000, gradient=jd.Score(baseline=None)), draws=True),
]

"""KL divergences of families of vectors and matrices, by textbooks, and what the package's err by.

Operands whose fields are exact numbers stand for those of the package.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

import jaxdiv as jd

from .errors_of_families import TINY, norm_error, ulp
from .families import FAMILIES, moments, normal_reference
from .oracle import exact
from .parametric import MULTIVARIATE, kl_dirichlet

MAKE: dict[str, Callable[[np.random.Generator], Any]] = {f.name: f.make for f in MULTIVARIATE}
for _family in FAMILIES[1:3]:
    MAKE[_family.name] = lambda rng, make=_family.make: make(rng, np.float64)
DIGITS, STEP = 60, mp.mpf(10) ** -20


def matrix(x):
    return mp.matrix([exact(row) for row in np.asarray(x)])


def gram(x):
    return matrix(x) * matrix(x).T


def kl_wishart(p, q, inverse=False):
    (v, w), size = [gram(d.scale_tril) for d in (p, q)], p.scale_tril.shape[-1]
    ratio = v * w**-1 if inverse else w**-1 * v
    ratio = ratio**-1 if inverse else ratio
    n, m = (exact(d.df)[0] for d in (p, q))
    halves = range(size)
    logs = [mp.loggamma((m - i) / 2) - mp.loggamma((n - i) / 2) for i in halves]
    slopes = mp.fsum(mp.digamma((n - i) / 2) for i in halves)
    trace = mp.fsum(ratio[i, i] for i in halves)
    volume = -m / 2 * mp.log(mp.det(ratio)) + n / 2 * (trace - size)
    return volume + mp.fsum(logs) + (n - m) / 2 * slopes


def kl_matrix_normal(p, q):
    parts = []
    for d in (p, q):
        row, column = gram(d.scale_tril_row), gram(d.scale_tril_column)
        n, k = row.rows, column.rows
        full = mp.matrix(n * k, n * k)
        for i in range(n * k):
            for j in range(n * k):
                full[i, j] = row[i // k, j // k] * column[i % k, j % k]
        parts.append((mp.matrix(exact(d.loc)), full))
    return normal_reference(jd.KL(), *parts)


def kl_low_rank(p, q):
    parts = []
    for d in (p, q):
        factor = matrix(d.factor)
        parts.append((mp.matrix(exact(d.loc)), factor * factor.T + mp.diag(exact(d.diagonal))))
    return normal_reference(jd.KL(), *parts)


def kl_dirichlets(p, q):
    return kl_dirichlet(exact(p.concentration), exact(q.concentration))


def kl_normals(p, q):
    return normal_reference(jd.KL(), moments(p), moments(q))


def kl_multinomial(p, q):
    """In the generalised form, since rounded probabilities do not sum to one."""
    pairs = zip(exact(p.probs), exact(q.probs), strict=True)
    return exact(p.total_count)[0] * mp.fsum(a * mp.log(a / b) - a + b for a, b in pairs)


@dataclass(frozen=True)
class Case:
    """A family and its textbook; `fixed` leaves of an operand are not moved."""

    name: str
    kl: Callable[[Any, Any], Any]
    fixed: tuple[int, ...] = ()

    def pairs(self, rng: np.random.Generator, count: int, dtype: Any = np.float32) -> list[Any]:
        """A third apart, the others near down to 1e-6; of sizes from 1e-3 to 1e6."""
        found = []
        for i in range(count):
            p, q = MAKE[self.name](rng), MAKE[self.name](rng)
            if self.name == "Dirichlet":
                size = np.exp(rng.uniform(np.log(1e-3), np.log(1e6), 4 if i % 2 else 1))
                p = jd.Dirichlet(p.concentration * size)
                q = jd.Dirichlet(q.concentration * size[::-1])
            if "Wishart" in self.name:
                df = 3 + np.exp(rng.uniform(np.log(1e-2), np.log(1e5)))
                p = type(p)(jnp.asarray(df), p.scale_tril)
            if i % 3:
                q = self._near(rng, p, 10 ** rng.uniform(-6, -1))
            found.append(jax.tree.map(lambda x: np.asarray(x, dtype), (p, q)))
        return found

    def _near(self, rng: np.random.Generator, p: Any, gap: float) -> Any:
        leaves, treedef = jax.tree.flatten(p)
        moved = [
            x if i in self.fixed else x * (1 + gap * rng.normal(size=x.shape))
            for i, x in enumerate(leaves)
        ]
        q = jax.tree.unflatten(treedef, moved)
        if "Wishart" in self.name:
            return type(q)(p.df + (p.df - 2) * gap * rng.uniform(-1, 1), q.scale_tril)
        if "covariance" in self.name:
            both = 0.5 * (q.covariance_matrix + q.covariance_matrix.T)
            return jd.MultivariateNormal(q.loc, covariance_matrix=both)
        return q


CASES = {
    case.name: case
    for case in [
        Case(
            "Dirichlet", lambda p, q: kl_dirichlet(exact(p.concentration), exact(q.concentration))
        ),
        Case("Wishart", kl_wishart),
        Case("InverseWishart", lambda p, q: kl_wishart(p, q, inverse=True)),
        Case("multivariate normal", kl_normals),
        Case("multivariate normal by covariance", kl_normals),
        Case("MatrixNormal", kl_matrix_normal),
        Case("LowRankMultivariateNormal", kl_low_rank),
        Case("Multinomial", kl_multinomial, fixed=(0,)),
    ]
}


def _stacked(pairs: list[Any]) -> Any:
    return jax.tree.map(lambda *xs: jnp.stack(xs), *pairs)


def value_errors(case: Case, pairs: list[Any]) -> list[float]:
    """In ulp of the value."""
    got = np.asarray(jax.jit(jax.vmap(jd.kl))(*_stacked(pairs)))
    dtype = jax.tree.leaves(pairs[0])[0].dtype
    assert got.dtype == dtype and (got >= 0).all()
    with mp.workdps(DIGITS):
        wants = [case.kl(*pair) for pair in pairs]
        errors = [abs(mp.mpf(float(g)) - want) for g, want in zip(got, wants, strict=True)]
        return [ulp(max(e - TINY, 0), w, dtype) for e, w in zip(errors, wants, strict=True)]


def derivative_errors(case: Case, pairs: list[Any]) -> tuple[list[float], list[float]]:
    """Of gradients, and of a column of each Hessian, relative to their largest entries.

    In units of the fields: of each number of one that is positive, of the largest of another.
    """
    treedef = jax.tree.structure(pairs[0])
    each = treedef.num_leaves // 2
    fixed = [i for i in range(2 * each) if i % each in case.fixed]

    def kl(leaves):
        return jd.kl(*jax.tree.unflatten(treedef, leaves))

    def both(leaves, along):
        return jax.jvp(jax.grad(kl), (leaves,), (along,))

    rng = np.random.default_rng(3)
    flat = [jax.tree.leaves(pair) for pair in pairs]
    units = [[_units(x) * (i not in fixed) for i, x in enumerate(xs)] for xs in flat]
    along = [[np.zeros_like(u) for u in us] for us in units]
    for ways, us in zip(along, units, strict=True):
        i, j = rng.choice([(i, j) for i, u in enumerate(us) for j in np.flatnonzero(u)])
        ways[i].flat[j] = us[i].flat[j]
    stacked = jax.jit(jax.vmap(both))(_stacked(flat), _stacked(along))
    firsts, seconds = [], []
    with mp.workdps(DIGITS):
        for i in range(len(pairs)):
            one = [[np.asarray(x[i]) for x in got] for got in stacked]
            numbers, ways, size = (
                [v for x in xs for v in exact(x)] for xs in (flat[i], along[i], units[i])
            )
            shapes = [x.shape for x in flat[i]]

            def at(moved, shapes=shapes):
                rest, arrays = iter(moved), []
                for shape in shapes:
                    count = int(np.prod(shape))
                    arrays.append(np.array(list(itertools.islice(rest, count))).reshape(shape))
                return case.kl(*jax.tree.unflatten(treedef, arrays))

            moved = [x + STEP * w for x, w in zip(numbers, ways, strict=True)]
            slopes = [_slopes(at, start, size) for start in (numbers, moved)]
            wants = slopes[0], [(b - a) / STEP for a, b in zip(*slopes, strict=True)]
            for errors, got, want in zip((firsts, seconds), one, wants, strict=True):
                entries = [v for x in got for v in exact(x)]
                scaled = [g * u for g, u in zip(entries, size, strict=True)]
                errors.append(norm_error(scaled, want, flat[i][0].dtype))
    return firsts, seconds


def _units(x: np.ndarray) -> np.ndarray:
    if (x > 0).all():
        return x
    return np.where(x == 0, 0, abs(x).max()).astype(x.dtype)


def _slopes(fn: Callable[[list[Any]], Any], at: list[Any], units: list[Any]) -> list[Any]:
    """Along each number, in its unit, by central differences; 0 for those without."""
    slopes = []
    for i, unit in enumerate(units):
        ends = [[*at[:i], at[i] + s * STEP * unit, *at[i + 1 :]] for s in (1, -1)]
        slopes.append((fn(ends[0]) - fn(ends[1])) / (2 * STEP) if unit else mp.mpf(0))
    return slopes

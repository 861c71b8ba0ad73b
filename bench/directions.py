r"""`python -m bench.directions`: both directions of KL on two-mode targets, against exact optima.

A target is $\sum_k w_k f(x \mp m)$ with one shape $f$ for both modes, handed to `fit` as a bare
`LogDensity`. The gap of reverse KL is exact where $f$ is a Gaussian of covariance $S$: $\log p$ is
a quadratic plus a function of $m^T S^{-1} x$, so that $E_q \log p$ is one integral on a line. That
of forward KL is exact for any $f$ with known moments: of Gaussians those are the optimum.
"""

import argparse
import functools
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array
from scipy.optimize import minimize

import jaxdiv as jd
from bench.gaussian_rivals import RIVALS, rival
from tests import exact_targets as exact

STARTS, DRAWS = 16, 5000
EXACTING, TOLERANCE = 512, 2e-4  # draws at a step of reverse fits, and nats, in the table
DF = 8.0


class Target(NamedTuple):
    """`weight` f(x + mode) + (1 - `weight`) f(x - mode), f of shape `kind` with factor `tril`."""

    kind: str
    weight: np.ndarray
    mode: np.ndarray
    tril: np.ndarray
    slant: np.ndarray  # of the skew-normal, in whitened coordinates

    @property
    def covariance(self) -> np.ndarray:
        return self.tril @ self.tril.T


def log_prob(kind: str, x: Array, weight: Any, mode: Array, tril: Array, slant: Array) -> Array:
    """Up to a constant."""
    solve = functools.partial(jax.scipy.linalg.solve_triangular, lower=True)
    z = jax.vmap(lambda away: solve(tril, away))(jnp.stack([x + mode, x - mode]))
    square = jnp.sum(z * z, -1)
    parts = -0.5 * square
    if kind == "t":
        parts = -0.5 * (DF + mode.size) * jnp.log1p(square / DF)
    if kind == "skew":
        parts += jax.scipy.special.log_ndtr(z @ slant)
    return jax.nn.logsumexp(parts + jnp.log(jnp.stack([weight, 1 - weight])))


# One function for a shape, whose compiled program all targets of a dimension share.
DENSITIES = {kind: functools.partial(log_prob, kind) for kind in ("normal", "skew", "t")}


def density(target: Target) -> jd.LogDensity:
    data = jax.tree.map(jnp.asarray, tuple(target[1:]))
    return jd.LogDensity(DENSITIES[target.kind], data, event_shape=(len(target.mode),))


def drawn(dim: int, seed: int, kind: str = "normal") -> Target:
    """A random covariance; modes 6 of their standard deviations apart, of weights 0.6 and 0.4."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dim, dim))
    tril = np.linalg.cholesky(root @ root.T / dim + 0.3 * np.eye(dim))
    mode = rng.normal(size=dim)
    mode *= 3.0 / np.linalg.norm(np.linalg.solve(tril, mode))
    return Target(kind, np.array(0.6), mode, tril, 2 * rng.normal(size=dim) / np.sqrt(dim))


def listed(name: str, kind: str = "normal") -> Target:
    """One of the targets with published optima."""
    known = exact.TARGETS[name]
    dim = len(known.mode)
    tril = np.linalg.cholesky(known.covariance)
    return Target(kind, np.array(known.weight), known.mode, tril, np.full(dim, 2.0))


def moments(target: Target) -> tuple[np.ndarray, np.ndarray]:
    shift, covariance = np.zeros(len(target.mode)), target.covariance
    if target.kind == "t":
        covariance = covariance * DF / (DF - 2)
    if target.kind == "skew":
        delta = target.slant / np.sqrt(1 + target.slant @ target.slant)
        shift = target.tril @ delta * np.sqrt(2 / np.pi)
        covariance = covariance - np.outer(shift, shift)
    w = float(target.weight)
    between = 4 * w * (1 - w) * np.outer(target.mode, target.mode)
    return (1 - 2 * w) * target.mode + shift, covariance + between


def forward_gap(target: Target, loc: np.ndarray, tril: np.ndarray, diagonal: bool) -> float:
    """KL(p, N(loc, tril tril^T)) less that of the best: a KL between Gaussians."""
    mean, covariance = moments(target)
    if diagonal:
        covariance = np.diag(np.diagonal(covariance))
    ratio = np.linalg.solve(tril, np.linalg.cholesky(covariance))
    away = np.linalg.solve(tril, mean - loc)
    log_det = 2 * np.log(np.abs(np.diagonal(ratio))).sum()
    return 0.5 * float(np.sum(ratio**2) + away @ away - len(mean) - log_det)


_Z = np.linspace(-10.0, 10.0, 801)  # the trapezoidal rule
_P = np.exp(-0.5 * _Z**2) / np.sqrt(2 * np.pi) * (_Z[1] - _Z[0])


@jax.jit
def reverse_value(loc: Array, tril: Array, weight: Array, mode: Array, root: Array) -> Array:
    """KL(N(loc, tril tril^T), p) for the Gaussian shape of factor `root`."""
    solve = functools.partial(jax.scipy.linalg.solve_triangular, root, lower=True)
    centre, spread, way = solve(loc), solve(tril), solve(mode)
    middle, scale = way @ centre, jnp.linalg.norm(way @ spread)
    t = middle + scale * _Z
    tilt = jnp.sum(_P * jnp.logaddexp(jnp.log(weight) - t, jnp.log1p(-weight) + t))
    log_det = jnp.sum(jnp.log(jnp.diagonal(tril)) - jnp.log(jnp.diagonal(root)))
    square = jnp.sum(spread**2) + centre @ centre + way @ way
    return 0.5 * (square - loc.size) - log_det - tilt


_descent = jax.jit(
    jax.value_and_grad(
        lambda u, *p: reverse_value(u[: u.size // 2], jnp.diag(jnp.exp(u[u.size // 2 :])), *p)
    )
)


def reverse_optimum(target: Target, loc: np.ndarray, tril: np.ndarray, diagonal: bool) -> float:
    """The exact optimum of the basin of a member.

    For a full covariance it differs from the components' only along the line between the modes, in
    whitened coordinates: a problem in one dimension.
    """
    problem: tuple = (target.weight, target.mode, target.tril)
    start = np.concatenate([loc, np.log(np.diagonal(tril))])
    if not diagonal:
        way = np.linalg.solve(target.tril, target.mode)
        length = np.linalg.norm(way)
        line = np.linalg.solve(target.tril.T, way) / length
        start = np.array([line @ loc, np.log(np.linalg.norm(line @ tril))])
        problem = (target.weight, np.array([length]), np.eye(1))

    def both(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _descent(u, *problem)
        return float(value), np.asarray(slope)

    return minimize(both, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun


def reverse_best(target: Target, diagonal: bool) -> float:
    """The least over starts at the modes, between, and in places wide and narrow."""
    mean, _ = moments(target)
    between = np.linalg.cholesky(moments(target)[1])
    places = ((-target.mode, target.tril), (target.mode, target.tril), (mean, between))
    return min(reverse_optimum(target, *place, diagonal) for place in places)


class Outcome(NamedTuple):
    loc: np.ndarray
    tril: np.ndarray
    converged: bool
    error: float
    evaluations: int
    seconds: float


def fitted(
    target: Target,
    direction: str,
    diagonal: bool,
    seed: int,
    draws: int | None = None,
    **more: Any,
) -> Outcome:
    objective = {"reverse": jd.reverse_kl, "forward": jd.forward_kl}[direction](density(target))
    by = {"reverse": jd.NaturalGradient(draws), "forward": jd.MomentMatching()}[direction]
    family = jd.MeanField() if diagonal else jd.FullRank()
    begin = time.perf_counter()
    found = jd.fit(objective, family, by, key=jr.key(seed), starts=STARTS, throw=False, **more)
    jax.block_until_ready(found.value)
    seconds = time.perf_counter() - begin
    member = found.distribution
    loc = np.asarray(member.mean)
    tril = np.linalg.cholesky(np.diag(member.variance) if diagonal else member.covariance())
    first = jax.tree.map(lambda x: x[0], found.result)
    errors = found.standard_error
    return Outcome(
        loc,
        tril,
        bool(first == jd.RESULTS.converged),
        0.0 if errors is None else float(errors[0]),
        int(np.sum(found.num_evaluations)),
        seconds,
    )


def _line(*cells: Any) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def _row(
    name: str, what: str, tool: str, gaps: Any, allowed: float, seconds: Any, more: str
) -> None:
    gaps = np.where(np.isfinite(gaps), gaps, np.inf)
    n = len(gaps)
    within, near = np.sum(gaps <= allowed), np.sum(gaps <= 0.05)
    warm = np.median(seconds[1:]) if len(seconds) > 1 else np.nan
    _line(
        *(name, what, tool, f"{np.median(gaps):.1e}", f"{np.max(gaps):.1e}", f"{allowed:.1e}"),
        *(
            f"{within}/{n}",
            f"{near}/{n}" if "reverse" in what else "",
            f"{seconds[0]:.1f}",
            f"{warm:.2f}",
            more,
        ),
    )


def table(targets: list[str], seeds: int, rivals: list[str], rival_seeds: int) -> None:
    _line(
        *("target", "fit", "by", "median gap, nats", "worst", "allowed", "within"),
        *("global (0.05)", "first, s", "warm, s", "evaluations"),
    )
    _line(*["---"] * 11)
    for name in targets:
        for kind in ("normal", "skew", "t"):
            target = drawn(int(name[:-1]), 0, kind) if name[0].isdigit() else listed(name, kind)
            dim = len(target.mode)
            for diagonal in (False, True) if dim > 1 else (False,):
                _ours(name, target, diagonal, seeds)
            if kind == "normal":
                for tool in rivals:
                    _theirs(name, target, tool, rival_seeds)


def _ours(name: str, target: Target, diagonal: bool, seeds: int) -> None:
    dim = len(target.mode)
    size = 2 * dim if diagonal else dim * (dim + 3) / 2
    shape = "diagonal" if diagonal else "full"
    if target.kind == "normal":
        best = reverse_best(target, diagonal)
        exacting = {"draws": EXACTING, "tolerance": TOLERANCE}
        found = [fitted(target, "reverse", diagonal, seed, **exacting) for seed in range(seeds)]
        problem = (target.weight, target.mode, target.tril)
        gaps = [float(reverse_value(f.loc, f.tril, *problem)) - best for f in found]
        counted = int(np.median([f.evaluations for f in found]))
        _row(
            name,
            f"reverse, {shape}",
            "jaxdiv",
            gaps,
            1e-3,
            [f.seconds for f in found],
            str(counted),
        )
    found = [fitted(target, "forward", diagonal, seed) for seed in range(seeds)]
    gaps = [forward_gap(target, f.loc, f.tril, diagonal) for f in found]
    counted = int(np.median([f.evaluations for f in found]))
    what = f"forward, {shape}, {target.kind}"
    _row(name, what, "jaxdiv", gaps, size / DRAWS, [f.seconds for f in found], str(counted))


def _theirs(name: str, target: Target, tool: str, seeds: int) -> None:
    best = reverse_best(target, False)
    once = rival(tool, density(target).log_prob, len(target.mode))
    gaps, seconds = [], []
    for seed in range(seeds):
        begin = time.perf_counter()
        loc, tril = jax.block_until_ready(once(jr.key(seed)))
        seconds.append(time.perf_counter() - begin)
        value = reverse_value(loc, tril, target.weight, target.mode, target.tril)
        gaps.append(float(value) - best)
    _row(name, "reverse, full", tool, gaps, 1e-3, seconds, "")


def claims(num: int) -> None:
    """How often `converged` is wrong, and how often an optimum found so is not the global one."""
    _line(*("D", "fit", "fits", "converged", "wrong", "not global", "worst gap of converged"))
    _line(*["---"] * 7)
    for dim in (2, 3, 5):
        for diagonal in (False, True):
            converged = wrong = lost = 0
            worst = 0.0
            for seed in range(num):
                target = drawn(dim, 1000 + seed)
                f = fitted(target, "reverse", diagonal, seed)
                if not f.converged:
                    continue
                problem = (target.weight, target.mode, target.tril)
                value = float(reverse_value(f.loc, f.tril, *problem))
                gap = value - reverse_optimum(target, f.loc, f.tril, diagonal)
                converged += 1
                wrong += gap > 3 * f.error + 1e-3
                lost += value > reverse_best(target, diagonal) + 3 * f.error + 1e-3
                worst = max(worst, gap)
            shape = "diagonal" if diagonal else "full"
            _line(dim, f"reverse, {shape}", num, converged, wrong, lost, f"{worst:.1e}")


def batch(num: int) -> None:
    """Fits of 10 dimensions, each of its own target, under `vmap` and one after the other."""
    targets = [drawn(10, seed) for seed in range(num)]
    args = jax.tree.map(lambda *x: jnp.stack(x), *(density(target).args for target in targets))
    keys = jr.split(jr.key(0), num)

    def one(args: Any, key: Any) -> Any:
        target = jd.LogDensity(DENSITIES["normal"], args, event_shape=(10,))
        return jd.fit(jd.reverse_kl(target), jd.FullRank(), key=key, throw=False).distribution.loc

    together = jax.jit(jax.vmap(one)).lower(args, keys).compile()
    few = [(jax.tree.map(lambda x, i=i: x[i], args), keys[i]) for i in range(min(num, 50))]
    jax.block_until_ready((together(args, keys), one(*few[0])))
    begin = time.perf_counter()
    jax.block_until_ready([one(*each) for each in few])
    apart = (time.perf_counter() - begin) / len(few) * num
    begin = time.perf_counter()
    jax.block_until_ready(together(args, keys))
    seconds = time.perf_counter() - begin
    _line("fits", "device", "apart, s", "vmap, s", "ratio")
    _line(*["---"] * 5)
    device = jax.devices()[0].device_kind
    _line(num, device, f"{apart:.1f}", f"{seconds:.2f}", f"{seconds / apart:.4f}")


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.directions", description=__doc__)
    parser.add_argument("--target", action="append", help="sym1d, asym1d, bi2d or 10d, 50d, ...")
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--rival", action="append", choices=RIVALS, default=[])
    parser.add_argument("--rival-seeds", type=int, default=8)
    parser.add_argument("--claims", type=int, default=0, help="fits for each row; no table then")
    parser.add_argument("--batch", type=int, default=0, help="fits under vmap; no table then")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    if options.batch:
        batch(options.batch)
        return 0
    if options.claims:
        claims(options.claims)
        return 0
    targets = options.target or ["sym1d", "asym1d", "bi2d", "10d", "50d"]
    table(targets, options.seeds, options.rival, options.rival_seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench.accuracy [NAME ...]`: every divergence between classes against 140 digits.

Value, gradients and second derivatives (the Hessian times a random vector) of each functional of
the tests' registry, on pairs of rows of every kind that goes wrong somewhere: near equality down to
1e-6, point masses, masks, logits 200 nats apart, offsets of 1000. In units in the last place: the
median, the 99th percentile and the worst, of a vector relative to its largest entry.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

import jaxdiv as jd
from tests import oracle
from tests.registry import FUNCTIONALS, Functional
from tests.test_kernel import rounded

STEP = mp.mpf(10) ** -25  # of the reference's own differences: errors of 1e-50, relative
ORDERS = ("value", "gradient", "second")
SIZES = {2: 1, 3: 1, 5: 1}  # classes, and repetitions of every kind of pair


@dataclass(frozen=True)
class Form:
    """How the numbers of two rows are tagged, and the masses that they stand for."""

    name: str
    tag: Callable[[jax.Array], jd.AbstractOperand]
    masses: Callable[[list], list]


def _softmax(z: list) -> list:
    live = [v for v in z if v != -mp.inf]
    if not live:
        return [oracle.ZERO] * len(z)
    weights = [oracle.ZERO if v == -mp.inf else mp.exp(v - max(live)) for v in z]
    total = mp.fsum(weights)
    return [w / total for w in weights]


LOGITS = Form("logits", jd.logits, _softmax)
PROBS = Form("probs", jd.probs, lambda p: p)


@dataclass(frozen=True)
class Errors:
    """In ulp, each with the kind of pair that it was found on."""

    found: dict[str, list[tuple[float, str]]]
    negative: int
    nan: int

    def row(self, order: str) -> str:
        """Quantiles, and the worst kind."""
        errors = self.found[order]
        if not errors:
            return f"{'-':>32}"
        figures = np.quantile([e for e, _ in errors], [0.5, 0.99, 1])
        return " ".join(f"{x:10.2g}" for x in figures) + f"  {max(errors)[1][:24]:24}"


def pairs(form: Form, size: int, dtype: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Named pairs of rows; as probabilities, where there are any digits to hold them."""
    names, a, b = rounded(dtype, size, SIZES[size])
    for name, x, y in zip(names, a, b, strict=True):
        if form is LOGITS:
            yield name, x, y
        else:
            p, q = (np.asarray(jax.nn.softmax(z), dtype) for z in (x, y))
            least = np.finfo(dtype).tiny  # below which a probability counts as 0
            yield name, np.where(p < least, 0, p), np.where(q < least, 0, q)


def measure(functional: Functional, form: Form, dtype: str = "float32") -> Errors:
    """The errors of one functional on all pairs."""
    found: dict[str, list[tuple[float, str]]] = {order: [] for order in ORDERS}
    negative = nan = 0
    rng = np.random.default_rng(0)

    def value(x):
        return functional(*(form.tag(z) for z in x))

    @jax.jit
    @jax.vmap
    def run(x, v):
        slope = jax.grad(value)
        return value(x), *jax.jvp(slope, (x,), (v,))

    for size in SIZES:
        names, a, b = zip(*pairs(form, size, dtype), strict=True)
        x = np.stack([np.stack(a), np.stack(b)], 1)
        v = rng.normal(size=x.shape).astype(dtype)
        if form is PROBS:
            v = np.where(x > 0, v * x, 0)
        got = [np.asarray(out) for out in run(jnp.asarray(x), jnp.asarray(v))]
        nan += sum(int(np.isnan(out).sum()) for out in got)
        negative += int((got[0] < 0).sum()) if functional.is_divergence else 0
        for row, name in enumerate(names):
            with mp.workdps(oracle.DIGITS):
                want = reference(functional, form, x[row], v[row])
                if abs(want[0][0]) > float(np.finfo(dtype).max):
                    want = [mp.inf], None, None
            for order, out, truth in zip(ORDERS, got, want, strict=True):
                if truth is not None:
                    error = oracle.norm_error(out[row], truth, np.dtype(dtype))
                    found[order].append((error, name))
    return Errors(found, negative, nan)


def reference(functional: Functional, form: Form, x: np.ndarray, v: np.ndarray):
    """Value, gradient and Hessian times `v`; None for the derivatives of an infinite value."""
    sides, along = [oracle.exact(s) for s in x], [oracle.exact(s) for s in v]
    live = [[form is LOGITS or p > 0 for p in side] for side in sides]

    def at(t, side=0, i=0, h=oracle.ZERO):
        moved = [
            [z + t * d for z, d in zip(s, ds, strict=True)]
            for s, ds in zip(sides, along, strict=True)
        ]
        moved[side][i] += h
        return functional.reference(*[form.masses(m) for m in moved][: functional.arity])

    value = at(oracle.ZERO)
    if mp.isinf(value):
        return [value], None, None
    slopes, seconds = [], []
    for side in range(2):
        for i in range(len(sides[0])):
            if side >= functional.arity or not live[side][i]:
                slopes.append(oracle.ZERO)
                seconds.append(oracle.ZERO)
                continue
            h = STEP if form is LOGITS else STEP * sides[side][i]
            slopes.append((at(0, side, i, h) - at(0, side, i, -h)) / (2 * h))
            corners = [s * t * at(t * STEP, side, i, s * h) for s in (1, -1) for t in (1, -1)]
            seconds.append(mp.fsum(corners) / (4 * STEP * h))
    return [value], slopes, seconds


def main() -> int:
    """Print the table; 1 where something is NaN or a divergence is negative."""
    parser = argparse.ArgumentParser("python -m bench.accuracy", description=main.__doc__)
    parser.add_argument("name", nargs="*", default=[""], help="how a functional's name begins")
    parser.add_argument("--form", choices=["logits", "probs"], action="append")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--csv", type=Path, help="keep the rows")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", options.dtype == "float64")
    heads = (f"{order + ': median':>10} {'p99':>10} {'worst':>10}  {'on':24}" for order in ORDERS)
    print(f"{'':28}", *heads, sep="")
    failed, rows = False, []
    for form in (LOGITS, PROBS):
        if options.form and form.name not in options.form:
            continue
        for functional in FUNCTIONALS:
            if not any(functional.name.startswith(name) for name in options.name):
                continue
            errors = measure(functional, form, options.dtype)
            figures = "".join(errors.row(order) for order in ORDERS)
            wrong = f" NaN {errors.nan}, negative {errors.negative}"
            count = len(errors.found["value"])
            print(f"{functional.name:20} {form.name:7}{figures}  {count} pairs", end="")
            print(wrong if errors.nan or errors.negative else "", flush=True)
            failed |= bool(errors.nan or errors.negative)
            for order in ORDERS:
                quantiles = np.quantile([e for e, _ in errors.found[order]] or [0], [0.5, 0.99, 1])
                rows.append([functional.name, form.name, options.dtype, order, count, *quantiles])
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return failed


if __name__ == "__main__":
    sys.exit(main())

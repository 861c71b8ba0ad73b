"""`python -m bench.families [NAME ...]`: what the families' closed forms are off by, in ulp.

With `--pairs`: how many pairs of families have a closed form of KL, here and in other libraries.
"""

import argparse
import time

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

from bench.pairs import print_pairs  # noqa: E402
from tests import multivariate  # noqa: E402
from tests.errors_of_families import (  # noqa: E402
    derivative_errors,
    entropy_errors,
    quantiles,
    rounded,
    value_errors,
)
from tests.parametric import PARAMETRIC  # noqa: E402


def main() -> None:
    """Prints a line a family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--double", action="store_true", help="float64 instead of float32")
    parser.add_argument("--pairs", action="store_true", help="count the pairs that have one")
    args = parser.parse_args()
    if args.pairs:
        print_pairs()
        return
    dtype = np.float64 if args.double else np.float32
    print(f"{np.dtype(dtype)}: median / 99th percentile / largest, in ulp; {args.count} pairs each")
    print(f"{'family':20} {'value':>20} {'gradient':>20} {'second':>24} {'entropy':>18}")
    for family in PARAMETRIC:
        if args.names and family.name not in args.names:
            continue
        start = time.perf_counter()
        pairs = rounded(family.pairs(np.random.default_rng(0), args.count), dtype)
        columns: list[list[float] | None] = [None, None, None, None]
        if family.kl is not None:
            columns[0] = value_errors(family, pairs)
            columns[1], columns[2] = derivative_errors(family, pairs[: args.count // 3])
        if family.entropy is not None:
            columns[3] = entropy_errors(family, pairs)
        _print(family.name, columns, start)
    for name, case in multivariate.CASES.items():
        if args.names and name not in args.names:
            continue
        start = time.perf_counter()
        pairs = case.pairs(np.random.default_rng(0), args.count, dtype)
        few = pairs[: args.count // 6]
        firsts, seconds = multivariate.derivative_errors(case, few)
        _print(name, [multivariate.value_errors(case, pairs), firsts, seconds, None], start)


def _print(name: str, columns: list[list[float] | None], start: float) -> None:
    cells = ["-" if not c else "{:.2g} / {:.3g} / {:.3g}".format(*quantiles(c)) for c in columns]
    seconds = time.perf_counter() - start
    print(
        f"{name:20} {cells[0]:>20} {cells[1]:>20} {cells[2]:>24} {cells[3]:>18} {seconds:5.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()

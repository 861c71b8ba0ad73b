"""`python -m bench.posteriors [NAME ...]`: fit each, from the default start, and judge it.

With `--reference`, run NUTS on each instead, and keep its moments in `references.json`.
"""

import argparse
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.random as jr
import numpy as np

import jaxdiv as jd
from jaxdiv._fit.assess import VERDICT

from .cases import Case, cases
from .reference import PATH, flat, references, run, write

MEAN, SD = 0.05, 0.05  # the errors that are asked for, in standard deviations and relative
ENDINGS = ("converged", "noise_limited", "stalled", "max_evaluations", "diverged")
VERDICTS = ("usable", "usable_weighted", "not_usable")


def main() -> int:
    """Run what the arguments name; 1 where a reference could not be had."""
    parser = argparse.ArgumentParser("python -m bench.posteriors", description=main.__doc__)
    parser.add_argument("name", nargs="*", help="a case, or how its name begins; default: all")
    parser.add_argument("--reference", action="store_true", help="make the references anew")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    chosen = [c for c in cases().values() if c.name.startswith(tuple(options.name) or "")]
    if not chosen:
        print(f"no case begins with {' or '.join(options.name)}", file=sys.stderr)
        return 2
    if options.reference:
        return _reference(chosen, options.seed)
    known = references()
    print(f"{'posterior':26}{'D':>4}{'evaluations':>12}{'mean':>8}{'sd %':>7}", end="")
    print(f"{'(raw':>9}{')':>7}{'k':>7}  verdict          result         cold  warm (s)")
    errors, wrong = [], 0
    for case in chosen:
        if case.name not in known:
            print(f"{case.name:26}{case.posterior.dim:4d}  no reference: make it by --reference")
            continue
        row = _fitted(case, known[case.name], options.seed)
        errors.append(row)
        wrong += row.called_good and not row.good
    evaluations = sorted(row.evaluations for row in errors)
    print(
        f"{sum(row.good for row in errors)} of {len(errors)} within {MEAN} sd and {SD:.0%}, median "
        f"{evaluations[len(errors) // 2]} evaluations; {wrong} called good that are not."
    )
    return wrong > 0


class Row(NamedTuple):
    """What is counted over the cases."""

    good: bool
    called_good: bool
    evaluations: int


def _fitted(case: Case, known: dict[str, Any], seed: int) -> Row:
    """Fits one, prints its line."""
    names = case.posterior.names()
    kept = np.array([names.index(name) for name in known["names"]])
    mean, sd = np.array(known["mean"]), np.array(known["sd"])

    def once(key: Any) -> tuple[Any, float]:
        start = time.perf_counter()
        found = jd.fit(jd.reverse_kl(case.posterior), key=key, throw=False)
        jax.block_until_ready(found.value)
        return found, time.perf_counter() - start

    found, cold = once(jr.key(seed))
    _, warm = once(jr.key(seed))
    report = found.assessment
    off = []
    for summary in (report.weighted, report.fitted):
        means, sds = (np.asarray(flat(x))[kept] for x in (summary.mean, summary.sd))
        off += [np.max(np.abs(means - mean) / sd), np.max(np.abs(sds / sd - 1))]
    verdict = _word(VERDICT, report.verdict, VERDICTS)
    result = _word(jd.RESULTS, jax.tree.map(lambda x: x[0], found.result), ENDINGS)
    evaluations = int(np.sum(found.num_evaluations))
    # A verdict of "usable" is about the fitted moments themselves.
    best = off[2:] if verdict == "usable" else off[:2]
    good = off[0] <= MEAN and off[1] <= SD
    print(
        f"{case.name:26}{case.posterior.dim:4d}{evaluations:12d}{off[0]:8.3f}{100 * off[1]:7.1f}"
        f"{off[2]:9.3f}{100 * off[3]:7.1f}{float(report.pareto_k):7.2f}  {verdict:17}{result:15}"
        f"{cold:5.1f}{warm:6.2f}",
        flush=True,
    )
    large = best[0] > 4 * MEAN or best[1] > 4 * SD
    return Row(good, verdict != "not_usable" and bool(large), evaluations)


def _word(kind: Any, item: Any, words: tuple[str, ...]) -> str:
    return next((word for word in words if bool(item == getattr(kind, word))), "other")


def _reference(chosen: list, seed: int) -> int:
    kept = references() if PATH.exists() else {}
    failed = False
    for case in chosen:
        start = time.perf_counter()
        try:
            row = run(case, seed)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        kept[case.name] = row
        write({name: kept[name] for name in cases() if name in kept})
        seconds = time.perf_counter() - start
        print(
            f"{case.name:26}{case.posterior.dim:4d}  R-hat {max(row['rhat']):.4f}  ESS "
            f"{min(row['ess']):7.0f}  divergences {row['divergences']:3d}  {seconds:5.0f} s",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())

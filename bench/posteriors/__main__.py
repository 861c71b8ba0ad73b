"""`python -m bench.posteriors [NAME ...]`: fit each, from the default start, and judge it.

With `--reference`, run NUTS on each instead, and keep its moments in `references.json`.
"""

import argparse
import sys
import time

import jax

from .cases import cases
from .reference import PATH, references, run, write


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
    return 0


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

"""`python -m bench.coverage`: how often the error bars of estimates cover what is known.

Six pairs whose divergence is known, each estimated 1,000 times: of intervals of nominal 95 %, 93 to
97 % should cover it (the standard error of such a share is 0.7 %). Then what no error bar covers,
where the estimate must say so.
"""

import sys

import jax


def main() -> int:
    """Print the table; 1 where an interval covers too seldom or too often."""
    jax.config.update("jax_enable_x64", True)
    from tests import error_bars  # whose arrays are then in double precision

    print(f"{'estimate':48}  truth   covered se / sd   flagged  max k")
    wrong = 0
    for case in (*error_bars.CASES, *error_bars.HEAVY):
        c = error_bars.coverage(case)
        print(
            f"{case.name:48} {c.truth:7.4f} {c.covered:7.1f} % {c.ratio:7.3f} {c.flagged:7.1f} %"
            f" {c.largest_k:6.2f}"
        )
        known = case in error_bars.CASES
        wrong += c.silent > 0 or (known and not 93 <= c.covered <= 97)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

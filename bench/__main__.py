"""`python -m bench [CASE ...]`: run cases against rivals, print ratios, keep the rows in a CSV."""

import argparse
import csv
import datetime
import platform
import sys
from pathlib import Path

from bench.cases import ALL_MODES, CASES
from bench.harness import Rival, Row, machine, run
from bench.rivals import NAMES, OURS

COLUMNS = (
    *("date", "case", "mode", "rival", "unit", "figure", "ratio", "error", "temp_bytes", "rounds"),
    *("versions", "python", "device", "cpu", "cores"),
)


def main() -> int:
    """Run what the arguments name; 1 where anything failed or this package is not installed."""
    options = _arguments()
    if options.list:
        for case in CASES.values():
            print(f"{case.name:28} {' '.join(case.modes)}")
        return 0
    chosen = [c for c in CASES.values() if any(c.name.startswith(p) for p in options.case)]
    if not chosen:
        print(f"no case starts with {' or '.join(options.case)}: see --list", file=sys.stderr)
        return 2
    rivals, failures = [], []
    for name in options.rival:
        rival = Rival(name)
        print(f"{name:8} {rival.about[0] if rival.installed else rival.about}")
        if rival.installed:
            rivals.append(rival)
        elif name == OURS:
            failures.append(f"{name}: {rival.about}")
    for case in chosen:
        for mode in (mode for mode in case.modes if mode in options.mode):
            rows, failed = run(case, mode, rivals, options.rounds)
            failures += failed
            print(f"\n{case.name} {mode}")
            for row in rows:
                print(_line(row))
            _keep(rows, options.csv)
    for rival in rivals:
        rival.stop()
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=main.__doc__)
    parser.add_argument("case", nargs="*", default=[""], help="a case, or how its name begins")
    parser.add_argument("--rival", action="append", choices=NAMES, help="default: all of them")
    parser.add_argument("--mode", action="append", choices=ALL_MODES, help="default: all of them")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("results.csv"))
    options = parser.parse_args()
    options.rival, options.mode = options.rival or NAMES, options.mode or ALL_MODES
    return options


def _line(row: Row) -> str:
    figure = f"{row.figure:.0f} traces" if row.case.unit == "traces" else _seconds(row.figure)
    return "  ".join(
        (
            f"  {row.rival:8}",
            f"{figure:>10}",
            f"{'-' if row.ratio is None else f'{row.ratio:.2f}x':>9}",
            f"error {'-' if row.error is None else f'{row.error:.1e}':>8}",
            f"temp {'-' if row.temp_bytes is None else f'{row.temp_bytes / 2**20:.2f} MiB':>12}",
        )
    )


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def _keep(rows: list[Row], path: Path) -> None:
    new = not path.exists()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    cpu, cores = machine()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        for row in rows:
            numbers = (row.figure, row.ratio, row.error)
            writer.writerow(
                [now, row.case.name, row.mode, row.rival, row.case.unit]
                + ["" if x is None else f"{x:.4g}" for x in numbers]
                + [row.temp_bytes, row.rounds, row.versions]
                + [platform.python_version(), row.device, cpu, cores]
            )


if __name__ == "__main__":
    sys.exit(main())

"""Compile the programs, print what they cost beside their budgets, and write budgets.json.

    python -m tests.budgets.table DEVICE... [--only WORD] [--dtype DTYPE] [--write]

DEVICE is one of v5e, v6e, v5p (with `jax[tpu]` installed) and h100 (with JAX's CUDA plugin).
"""

import argparse
import json
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import devices  # first: it sets the environment  # isort: skip
import jax

from . import programs
from .hlo import Program

BUDGETS = Path(__file__).with_name("budgets.json")
UNITS = ("traffic", "memory", "flops")

Row = dict[str, float]


def measure(device: str, dtype: str, name: str) -> Row:
    """Traffic and temporary memory in passes over one array, arithmetic per element of it."""
    try:
        compiled = programs.compile_for(devices.device(device), name, dtype)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return dict.fromkeys(UNITS, math.inf)  # does not fit into the device's memory
    program, elements = Program(compiled.as_text()), programs.N * programs.V
    if folder := os.environ.get("BUDGETS_TEXT"):
        Path(folder, f"{device}-{dtype}-{name}.txt".replace("/", "-")).write_text(program.text)
    array = elements * jax.numpy.dtype(dtype).itemsize
    return {
        "traffic": round(program.traffic / array, 3),
        "memory": round(compiled.memory_analysis().temp_size_in_bytes / array, 3),
        "flops": round((program.flops + program.transcendentals) / elements, 1),
    }


def keys(kinds: Iterable[str], dtypes: Iterable[str] = programs.DTYPES) -> list[str]:
    """All rows, as DEVICE/DTYPE/MEASURE/MODE."""
    return [f"{d}/{t}/{name}" for d in kinds for t in dtypes for name in programs.names()]


def measure_all(rows: Iterable[str]) -> dict[str, Future[Row]]:
    """Starts to compile all, on as many threads as there are cores."""
    pool = ThreadPoolExecutor(os.cpu_count())
    return {key: pool.submit(measure, *key.split("/", 2)) for key in rows}


def goal(goals: dict[str, Any], key: str, unit: str) -> float | None:
    """The most special entry of `goals` whose name is the end of the key, or device and end."""
    device, dtype, name = key.split("/", 2)
    mode = name.rpartition("/")[2]
    for pattern in (key, f"{device}/{name}", name, mode):
        if unit in goals.get(pattern, {}):
            return goals[pattern][unit]
    return goals["all"].get(unit)


def lines(results: Iterable[tuple[str, Row]], goals: dict[str, Any]) -> Iterator[str]:
    """The table; an asterisk marks what misses its goal."""
    yield f"{'program':45}" + "".join(f"{unit:>18}" for unit in UNITS)
    for key, row in results:
        cells = []
        for unit in UNITS:
            limit = goal(goals, key, unit)
            mark = "*" if limit is not None and row[unit] > limit else " "
            cells.append(f"{row[unit]:g}{mark}/{'-' if limit is None else f'{limit:g}'}")
        yield f"{key:45}" + "".join(f"{cell:>18}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("devices", nargs="+")
    parser.add_argument("--only", default="")
    parser.add_argument("--dtype", action="append")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    budgets = json.loads(BUDGETS.read_text())
    rows = [k for k in keys(args.devices, args.dtype or programs.DTYPES) if args.only in k]
    results = ((key, future.result()) for key, future in measure_all(rows).items())
    print(f"jax {jax.__version__}; measured/goal, * misses; passes over [N, V], flops per element")
    measured = {}
    for line in lines(_kept(results, measured), budgets["goals"]):
        print(line, flush=True)
    if args.write:
        budgets["jax"] = jax.__version__
        budgets["measured"] |= measured
        BUDGETS.write_text(_text(budgets))


def _kept(results, into):
    for key, row in results:
        into[key] = row
        yield key, row


def _text(budgets: dict[str, Any]) -> str:
    """JSON with one line a row."""
    parts = []
    for section, value in budgets.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"  {json.dumps(section)}: {{\n{inner}\n  }}")
        else:
            parts.append(f"  {json.dumps(section)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()

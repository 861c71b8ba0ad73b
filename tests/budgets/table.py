"""Compile the programs, print what they cost beside their goals, and write budgets.json.

    python -m tests.budgets.table DEVICE... [--only REGEX] [--write]

DEVICE is one of v5e, v6e, v5p and v5ex8 (where `jax[tpu]` is installed), h100 and h100x8 (where
JAX's CUDA plugin is), and cpux8.
"""

import argparse
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import devices  # first: it sets the environment  # isort: skip
import jax

from . import programs, sharded
from .hlo import Program

BUDGETS = Path(__file__).with_name("budgets.json")

Row = dict[str, float]


def device_count(device: str) -> int:
    return 8 if device.endswith("x8") else 1


def keys(device: str) -> list[str]:
    """All rows of a device: DEVICE/DTYPE/MEASURE/MODE, or on eight of them DEVICE/HOW/MEASURE."""
    if device_count(device) == 8:
        return [f"{device}/{how}/{name}" for how in sharded.HOW for name in sharded.HELD]
    # Of the other TPUs, whose compiler is the same, KL will do.
    names = [n for n in programs.names() if device not in ("v6e", "v5p") or n.startswith("kl")]
    return [f"{device}/{t}/{name}" for t in programs.DTYPES for name in names]


def measure(key: str) -> Row:
    """What a program costs."""
    device, kind, name = key.split("/", 2)
    if device_count(device) == 8:
        return sharded.measure(devices.eight(device.removesuffix("x8")), name, kind)
    try:
        compiled = programs.compile_for(devices.one(device), name, kind, devices.options(device))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"traffic": math.inf, "memory": math.inf}  # more than the device has
    if folder := os.environ.get("BUDGETS_TEXT"):
        Path(folder, f"{key.replace('/', '-')}.txt").write_text(compiled.as_text())
    return cost(compiled, kind)


def cost(compiled: Any, dtype: str) -> Row:
    """Traffic and temporary memory in passes over one array, arithmetic per element of it."""
    program, elements = Program(compiled), programs.N * programs.V
    array = elements * jax.numpy.dtype(dtype).itemsize
    return {
        "traffic": round(program.traffic / array, 3),
        "memory": round(compiled.memory_analysis().temp_size_in_bytes / array, 3),
        "flops": round((program.flops + program.transcendentals) / elements, 1),
    }


def measure_all(rows: Iterable[str]) -> dict[str, Future[Row]]:
    """Starts to compile all, on as many threads as there are cores."""
    pool = ThreadPoolExecutor(os.cpu_count())
    return {key: pool.submit(measure, key) for key in rows}


def goals(budgets: dict[str, Any], key: str) -> Row:
    """What is wanted: from the most general entry that is an end of the key to the most special."""
    device, _, name = key.split("/", 2)
    patterns = (f"x{device_count(device)}", name.rpartition("/")[2], name, f"{device}/{name}", key)
    found: Row = {}
    for pattern in patterns:
        found |= budgets["goals"].get(pattern, {})
    return {unit: goal for unit, goal in found.items() if goal is not None}


def excess(budgets: dict[str, Any], key: str, row: Row) -> list[str]:
    """Where a row costs more than it did: by over 2 %, or than its goal, if that was met."""
    wanted, found = goals(budgets, key), []
    for unit, before in budgets["measured"][key].items():
        limit = 1.02 * before + 0.01
        if unit in wanted and before <= wanted[unit]:
            limit = min(limit, wanted[unit])
        now = row.get(unit, math.inf)
        if now > limit:
            found.append(f"{key}: {unit} {now:g}, was {before:g}, limit {limit:g}")
    return found


def table(results: Iterable[tuple[str, Row]], budgets: dict[str, Any]) -> Iterator[str]:
    """A line a row: each number beside its goal; an asterisk marks what misses it."""
    yield f"jax {jax.__version__}; measured/goal, * misses. Traffic and temporary memory in passes"
    yield "over one [4096, 128256] array, flops per element; rounds of collectives."
    for key, row in results:
        wanted, cells = goals(budgets, key), []
        for unit, value in row.items():
            goal = wanted.get(unit)
            mark = "*" if goal is not None and value > goal else " "
            cells.append(f"{unit} {value:7g}{mark}/ {'-' if goal is None else f'{goal:g}':4}")
        yield f"{key:42}" + "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("devices", nargs="+")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    budgets = json.loads(BUDGETS.read_text())
    rows = [k for device in args.devices for k in keys(device) if re.search(args.only, k)]
    measured: dict[str, Row] = {}

    def results():
        for key, future in measure_all(rows).items():
            measured[key] = future.result()
            yield key, measured[key]

    for line in table(results(), budgets):
        print(line, flush=True)
    if args.write:
        budgets["jax"] = jax.__version__
        old = {
            k: v for k, v in budgets["measured"].items() if args.only or not _of(k, args.devices)
        }
        budgets["measured"] = dict(sorted((old | measured).items()))
        BUDGETS.write_text(_text(budgets))


def _of(key: str, kinds: list[str]) -> bool:
    return key.split("/")[0] in kinds


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

"""Check what `import jaxdiv` imports, and what time it adds to `import jax`."""

import json
import subprocess
import sys

BUDGET_S = 0.3
FORBIDDEN = {
    "distrax",
    "matplotlib",
    "numpyro",
    "rich",
    "scipy.stats",
    "tensorflow_probability",
    "torch",
    "typer",
}
PROGRAM = """
import json, sys, time
import jax
start = time.perf_counter()
import jaxdiv
print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))
"""


def measure() -> tuple[float, set[str]]:
    """Seconds that `import jaxdiv` adds after `import jax`, and the modules then loaded."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)


if __name__ == "__main__":
    runs = [measure() for _ in range(5)]
    loaded = FORBIDDEN & runs[0][1]
    if loaded:
        raise SystemExit(f"import jaxdiv imports {', '.join(sorted(loaded))}")
    # The least of five: the others are this one and what else the machine was doing.
    seconds = min(seconds for seconds, _ in runs)
    print(f"import jaxdiv adds {seconds:.3f} s to import jax (budget {BUDGET_S} s)")
    if seconds > BUDGET_S:
        raise SystemExit("import jaxdiv is over its budget")

"""Check that `import jaxdiv` leaves the heavy and the optional packages alone."""

import subprocess
import sys

FORBIDDEN = {
    "distrax",
    "distreqx",
    "flowjax",
    "jaxdiv._compat.build",
    "matplotlib",
    "numpyro",
    "rich",
    "scipy.stats",
    "tensorflow_probability",
    "torch",
    "typer",
}

if __name__ == "__main__":
    program = "import sys, jaxdiv; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    loaded = FORBIDDEN & set(done.stdout.decode().split())
    if loaded:
        raise SystemExit(f"import jaxdiv imports {', '.join(sorted(loaded))}")

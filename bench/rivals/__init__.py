"""One file for each library, with `DISTRIBUTIONS`, whose versions a row keeps, and `CASES`.

`CASES` goes from a case's kind to `setup(arrays, mode)`, which returns a `Timed`, or `None` for a
mode that the library has not got.
"""

import importlib
from types import ModuleType

NAMES = ("jaxdiv", "optax", "distrax", "numpyro", "scipy", "torch")
OURS = NAMES[0]


def load(name: str) -> ModuleType:
    """The file of a rival, which imports its library: `ImportError` where that is not installed."""
    return importlib.import_module(f"bench.rivals.{name}")

"""Double precision: a parameter that is taken for another is then off by far more than rounding."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_enable_x64", True)
# Each program runs once, on a few numbers: what counts is how long it takes to compile.
jax.config.update("jax_disable_most_optimizations", True)

"""The devices that programs are compiled for, none of which this machine need have.

Import before JAX starts a backend: the environment is set here.
"""

import os

os.environ.update(
    JAX_PLATFORMS="cpu",
    TPU_SKIP_MDS_QUERY="1",
    TPU_WORKER_HOSTNAMES="localhost",
    TPU_ACCELERATOR_TYPE="v5litepod-1",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",
    XLA_FLAGS=" ".join(
        (
            "--xla_force_host_platform_device_count=8",
            "--xla_gpu_autotune_level=0",  # it would run the candidates
            "--xla_backend_optimization_level=0",  # of the instructions below the program's text
        )
    ),
    TF_CPP_MIN_LOG_LEVEL="2",
)

import threading
from typing import Any

import jax
from jax.experimental import topologies

# Two threads that both found no plugin would both load it, and the second is an error.
_LOADING = threading.Lock()
TPUS = {"v5e": "v5e:2x2", "v6e": "v6e:2x2", "v5p": "v5p:2x2x1"}

# The least effort takes a tenth of the time, and fuses the same: traffic, memory and arithmetic are
# those of the default, 0 (`EFFORT=0` in the environment). What is left out is scheduling.
OPTIONS = {"exec_time_optimization_effort": float(os.environ.get("EFFORT", "-1"))}

# A GpuTargetConfigProto: the published figures of an H100 SXM.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  memory_bandwidth: 3350000000000
  device_memory_size: 85899345920
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
}
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def tpus(topology: str) -> list[Any]:
    """The chips of a TPU topology."""
    with _LOADING:
        return topologies.get_topology_desc(topology, "tpu").devices


def h100s(count: int) -> list[Any]:
    """H100s of one host."""
    return topologies.get_topology_desc(
        platform="cuda", target_config=H100, topology=f"1x1x{count}"
    ).devices


def one(name: str) -> Any:
    """One device by its name: "v5e", "v6e", "v5p" or "h100"."""
    return h100s(1)[0] if name == "h100" else tpus(TPUS[name])[0]


def options(name: str) -> dict[str, Any] | None:
    """Options of the compiler for that device."""
    return OPTIONS if name in TPUS else None


def eight(name: str) -> list[Any]:
    """Eight devices of one kind: "v5e", "h100", or "cpu" where so many are set up."""
    if name == "cpu":
        return jax.devices("cpu")[:8]
    return h100s(8) if name == "h100" else tpus("v5e:2x4")

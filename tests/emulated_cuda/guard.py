"""Gives a CPU build of torch a device guard for CUDA, which autograd asks for.

torch asks only once, at its import: `load_guard` must run before.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GUARD = r"""
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
namespace at {
namespace {
template <c10::DeviceType T>
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return T; }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  c10::Device getDevice() const override { return c10::Device(T, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, getDevice());
  }
  c10::Stream exchangeStream(c10::Stream s) const noexcept override { return s; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag)
      const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
};
struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void init() const override {}
};
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, Hooks)
const bool done = [] {
  constexpr auto cuda = c10::DeviceType::CUDA;
  if (!c10::impl::hasDeviceGuardImpl(cuda))
    c10::impl::registerDeviceGuard(cuda, new Guard<cuda>());
  return at::detail::getCUDAHooks().hasCUDA();
}();
}  // namespace
}  // namespace at
"""


def missing() -> str:
    """Why the device cannot be emulated here; empty where it can."""
    if shutil.which("g++") is None:
        return "the emulated CUDA device needs g++"
    if "+cpu" not in importlib.metadata.version("torch"):
        return "the emulated CUDA device needs a CPU build of torch"
    return ""


def load_guard() -> None:
    """Build (once a torch version) and load the guard."""
    if "torch" in sys.modules:
        raise ImportError("import tests.emulated_cuda.emulate before torch, in its own process")
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    home = Path(found.origin).parent
    version = importlib.metadata.version("torch")
    built = Path(tempfile.gettempdir()) / f"bas-emulated-cuda-{version}-{os.getuid()}.so"
    if not built.is_file():
        _build(home, built)
    ctypes.CDLL(str(home / "lib" / "libtorch_cpu.so"), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(built))


def _build(home: Path, built: Path) -> None:
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        source, target = Path(folder) / "guard.cpp", Path(folder) / "guard.so"
        source.write_text(GUARD)
        subprocess.run(
            ["g++", "-std=c++20", "-shared", "-fPIC", f"-I{home / 'include'}", str(source),
             "-o", str(target), f"-L{home / 'lib'}", "-lc10", "-ltorch_cpu"],
            check=True,
        )  # fmt: skip
        # In one piece: two test processes may build it at once.
        target.rename(built)

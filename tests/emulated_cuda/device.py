"""The device: tensors that say `cuda:0`, the rules of a GPU, and what an operation costs there."""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

aten: Any = torch.ops.aten
CUDA = torch.device("cuda", 0)
SYNCING = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default,
    aten.equal.default, aten.unique_dim.default, aten._unique2.default, aten.is_nonzero.default,
}  # fmt: skip
CROSS_DEVICE = {aten.copy_.default, aten._to_copy.default}
INDEXING = {
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default, aten._unsafe_index.Tensor,
}  # fmt: skip
VIEWS = {
    aten.detach.default, aten.alias.default, aten.lift_fresh.default, aten.is_pinned.default,
    aten._reshape_alias.default, aten._unsafe_view.default,
}  # fmt: skip
CASTS = ("aten._to_copy.default", "aten._foreach_copy_.default")
PRODUCT = ("/engine/",)


class CudaTensor(torch.Tensor):
    """Says that it lies on cuda:0; its numbers lie in `held`."""

    held: torch.Tensor
    token: object

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> CudaTensor:
        make: Any = torch.Tensor
        return make._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, requires_grad=False, device=CUDA,
        )  # fmt: skip

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def tolist(self) -> Any:
        """A copy to the host, which waits for the GPU."""
        return self.cpu().tolist()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"CudaTensor({tuple(self.shape)}, {self.dtype})"

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        assert EmulatedCuda.active is not None, "a CudaTensor outside emulated_cuda()"
        with EmulatedCuda.active:
            return func(*args, **(kwargs or {}))


class _Token:
    """Lives as long as its tensor."""


class Counts:
    """What happened while a region was open."""

    def __init__(self) -> None:
        self.kernels: Counter[str] = Counter()
        """Dispatched operations that are no views, by name."""
        self.syncs: Counter[str] = Counter()
        """Waits of the host, by operation and line of the product."""
        self.to_gpu = self.to_cpu = 0
        """Copies."""
        self.to_gpu_bytes = self.to_cpu_bytes = 0
        self.peak = 0
        """Bytes; with what was there before."""

    @property
    def total(self) -> int:
        """Kernels."""
        return sum(self.kernels.values())

    @property
    def casts(self) -> int:
        """Kernels that only change the type."""
        return sum(self.kernels[name] for name in CASTS)


class EmulatedCuda(TorchDispatchMode):
    """Every operation passes here while it is active.

    Refused, as on a GPU: operations over CPU and CUDA tensors (0-dim CPU tensors and index tensors
    excepted), a CPU generator for a CUDA result and the other way round, `.numpy()`, a device that
    is not there.
    """

    active: EmulatedCuda | None = None

    def __init__(self, values: Literal["cpu", "meta"] = "cpu") -> None:
        """`values`: whether tensors hold numbers, or shapes alone."""
        super().__init__()
        self.values = values
        self.live = 0
        self.limit = 0
        """Bytes beyond which an allocation raises torch's OutOfMemoryError; 0: none."""
        self.regions: dict[str, Counts] = {"": Counts()}
        self._open: list[str] = [""]
        self._storages: dict[int, list[int]] = {}

    @contextlib.contextmanager
    def region(self, name: str) -> Iterator[Counts]:
        """Count separately what happens within."""
        counts = self.regions.setdefault(name, Counts())
        counts.peak = max(counts.peak, self.live)
        self._open.append(name)
        try:
            yield counts
        finally:
            self._open.pop()

    def wrap(self, held: torch.Tensor) -> CudaTensor:
        """A tensor of the device; counts its storage as long as it lives."""
        storage = held.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if self.limit and key not in self._storages and self.live + size > self.limit:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB."
            )
        made = CudaTensor(held)
        entry = self._storages.setdefault(key, [0, size])
        entry[0] += 1
        if entry[0] == 1:
            entry[1] = size
            self.live += size
            for counts in self._all():
                counts.peak = max(counts.peak, self.live)
        # On the tensor itself it would forbid `swap_tensors`.
        made.token = _Token()
        weakref.finalize(made.token, self._freed, key)
        return made

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = dict(kwargs or {})
        flat, spec = tree_flatten((args, kwargs))
        ours = [x for x in flat if isinstance(x, CudaTensor)]
        plain = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, CudaTensor)]
        wanted = next((x for x in flat if isinstance(x, torch.device)), kwargs.get("device"))
        asked = None if wanted is None else torch.device(wanted)
        wants_cuda = asked is not None and asked.type == "cuda"
        if func is aten._pin_memory.default:
            return args[0].clone()
        if not ours and not wants_cuda:
            return func(*args, **kwargs)
        if asked is not None and wants_cuda and asked.index not in (None, 0):
            raise RuntimeError("CUDA error: invalid device ordinal")
        if func is aten._to_copy.default:
            return self._move(func, args[0], wanted, kwargs)
        if func is aten.copy_.default:
            return self._copy(func, args[0], args[1])
        if func in SYNCING or _boolean_index(func, args):
            self._synced(func)
            if self.values == "meta":
                if func is aten._local_scalar_dense.default:
                    return {torch.bool: False, torch.int64: 1}.get(ours[0].dtype, 1.0)
                raise NotImplementedError(f"{func} over tensors without numbers")
        self._check(func, args, flat, plain, on_gpu=bool(ours) if wanted is None else wants_cuda)
        if self.values == "meta" and plain and ours:
            flat = [_without_numbers(x) for x in flat]
        back = {id(x.held): x for x in ours}
        inner_args, inner_kwargs = tree_unflatten(
            [x.held if isinstance(x, CudaTensor) else x for x in flat], spec
        )
        if wants_cuda:
            inner_kwargs["device"] = torch.device(self.values)
        elif wanted is not None and ours:
            raise RuntimeError(f"{func} moves devices unexpectedly")
        if inner_kwargs.get("pin_memory"):
            inner_kwargs["pin_memory"] = False
        if func not in VIEWS and not _is_view(func):
            self._kernel(func)
        out = func(*inner_args, **inner_kwargs)

        def outer(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            return back[id(value)] if id(value) in back else self.wrap(value)

        return tree_map(outer, out)

    def _move(self, func: Any, source: torch.Tensor, wanted: Any, kwargs: dict[str, Any]) -> Any:
        options = {k: kwargs[k] for k in ("dtype", "memory_format") if kwargs.get(k) is not None}
        if not isinstance(source, CudaTensor):
            return self._to_gpu(source, **options)
        if wanted is not None and torch.device(wanted).type == "cpu":
            if not kwargs.get("non_blocking", False):
                self._synced(func)
            return self._to_cpu(source.held, **options)
        self._kernel(func)
        return self.wrap(source.held.to(copy=True, **options))

    def _copy(self, func: Any, target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if isinstance(target, CudaTensor):
            given = source if isinstance(source, CudaTensor) else self._to_gpu(source)
            self._kernel(func)
            target.held.copy_(given.held)
            return target
        assert isinstance(source, CudaTensor)
        self._synced(func)
        return target.copy_(self._to_cpu(source.held))

    def _to_gpu(self, plain: torch.Tensor, **options: Any) -> CudaTensor:
        for counts in self._all():
            counts.to_gpu += 1
            counts.to_gpu_bytes += plain.nbytes
        if self.values == "meta":
            return self.wrap(plain.detach().to("meta", **options))
        return self.wrap(plain.detach().to(copy=True, **options))

    def _to_cpu(self, held: torch.Tensor, **options: Any) -> torch.Tensor:
        for counts in self._all():
            counts.to_cpu += 1
            counts.to_cpu_bytes += held.nbytes
        if self.values == "meta":
            return torch.zeros(held.shape, dtype=options.get("dtype") or held.dtype)
        return held.detach().to(copy=True, **options)

    def _freed(self, key: int) -> None:
        entry = self._storages.get(key)
        if entry is None:
            return
        entry[0] -= 1
        if entry[0] == 0:
            self.live -= entry[1]
            del self._storages[key]

    def _all(self) -> list[Counts]:
        return [self.regions[name] for name in self._open]

    def _kernel(self, func: Any) -> None:
        for counts in self._all():
            counts.kernels[str(func)] += 1

    def _synced(self, func: Any) -> None:
        where = f"{func}  {_line_of_the_product()}"
        for counts in self._all():
            counts.syncs[where] += 1

    def _check(
        self, func: Any, args: Any, flat: list[Any], plain: list[torch.Tensor], *, on_gpu: bool
    ) -> None:
        for item in flat:
            if isinstance(item, torch.Generator) and (item.device.type == "cuda") != on_gpu:
                raise RuntimeError(
                    f"Expected a '{'cuda' if on_gpu else 'cpu'}' device type for generator but "
                    f"found '{item.device.type}'"
                )
        ours = any(isinstance(x, CudaTensor) for x in flat)
        if not ours or not plain or func in CROSS_DEVICE:
            return
        if func in INDEXING:
            # CUDA takes CPU indices (a hidden copy each); a CPU tensor takes no CUDA indices.
            if not isinstance(args[0], CudaTensor):
                raise RuntimeError(
                    "indices should be either on cpu or on the same device as the indexed tensor "
                    "(cpu)"
                )
            for counts in self._all():
                counts.to_gpu += len(plain)
        elif any(x.dim() for x in plain):
            shapes = [tuple(x.shape) for x in plain]
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and cpu! ({func}, CPU tensors {shapes})"
            )


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    aliases = [value.alias_info for value in returns]
    return bool(returns) and all(info is not None and not info.is_write for info in aliases)


def _boolean_index(func: Any, args: Any) -> bool:
    if func not in INDEXING or len(args) < 2:
        return False
    masks = (torch.bool, torch.uint8)
    return any(isinstance(index, torch.Tensor) and index.dtype in masks for index in args[1])


def _without_numbers(value: Any) -> Any:
    is_plain = isinstance(value, torch.Tensor) and not isinstance(value, CudaTensor)
    return value.to("meta") if is_plain and value.dim() else value


def _line_of_the_product() -> str:
    """The innermost line of the product (or of anybody but torch) that led here."""
    frame, fallback = sys._getframe(2), ""
    while frame is not None:
        name = frame.f_code.co_filename
        line = f"{name.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}"
        if any(root in name for root in PRODUCT):
            return line
        if not fallback and "/torch/" not in name and "emulated_cuda" not in name:
            fallback = line
        frame = frame.f_back
    return fallback

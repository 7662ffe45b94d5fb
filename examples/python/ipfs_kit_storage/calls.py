"""Calls into the component that pass bytes at once.

wasmtime's own conversion takes a list of bytes one by one, in Python: some 1 MB/s. Here they are copied with a stride
into and out of the array of values that the C API has for a list, which is 20 to 40 times as fast. This knows that
array's layout from wasmtime's own declarations, and so the package is pinned to one release of it.
"""

from __future__ import annotations

import ctypes
from ctypes import addressof, byref, pointer
from typing import Any

from wasmtime import Store, _ffi
from wasmtime.component import Func, ListType, ResultType, U8, ValType
from wasmtime.component._enter import enter_wasm

_VALUE = _ffi.wasmtime_component_val_t
_STRIDE = ctypes.sizeof(_VALUE)
_KIND = _VALUE.kind.offset
_BYTE = _VALUE.of.offset


class Function:
    """A function of the component, whose types are looked up once."""

    def __init__(self, func: Func, store: Store) -> None:
        kind = func.type(store)
        self._func = func
        self._params: list[ValType] = [ty for _, ty in kind.params]
        self._result = kind.result
        self._gives_bytes = isinstance(self._result, ResultType) and _is_bytes(self._result.ok)

    def __call__(self, store: Store, *args: Any) -> Any:
        """What it returns, as wasmtime converts it; bytes are `bytes`."""
        if len(args) != len(self._params):
            raise TypeError(f"{len(self._params)} arguments expected, {len(args)} given")
        params = (_VALUE * len(args))()
        lowered = 0
        try:
            for slot, ty, arg in zip(params, self._params, args, strict=True):
                if _is_bytes(ty):
                    _lower(arg, slot)
                else:
                    ty.convert_to_c(store, arg, pointer(slot))
                lowered += 1
            result = _VALUE()
            out = (byref(result), 1) if self._result is not None else (None, 0)
            enter_wasm(
                lambda: _ffi.wasmtime_component_func_call(
                    byref(self._func._func), store._context(), params, len(args), *out
                )
            )
            return self._lift(result)
        finally:
            for index in range(lowered):
                _ffi.wasmtime_component_val_delete(byref(params[index]))

    def _lift(self, result: Any) -> Any:
        if self._result is None:
            return None
        if self._gives_bytes and result.of.result.is_ok:
            try:
                return _lift(result.of.result.val.contents.of.list)
            finally:
                _ffi.wasmtime_component_val_delete(byref(result))
        return self._result.convert_from_c(result)


def _is_bytes(ty: ValType | None) -> bool:
    return isinstance(ty, ListType) and isinstance(ty.element, U8)


def _lower(data: bytes, slot: Any) -> None:
    values = _ffi.wasmtime_component_vallist_t()
    _ffi.wasmtime_component_vallist_new_uninit(byref(values), len(data))
    if data:
        memory = _memory(values)
        memory[_KIND::_STRIDE] = bytes([_ffi.WASMTIME_COMPONENT_U8.value]) * len(data)
        memory[_BYTE::_STRIDE] = data
    slot.kind = _ffi.WASMTIME_COMPONENT_LIST
    slot.of.list = values


def _lift(values: Any) -> bytes:
    return bytes(_memory(values)[_BYTE::_STRIDE]) if values.size else b""


def _memory(values: Any) -> memoryview:
    array = (ctypes.c_uint8 * (values.size * _STRIDE)).from_address(addressof(values.data.contents))
    return memoryview(array).cast("B")

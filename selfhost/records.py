"""`dataclass`: the standard library's, for frozen records, made in a tenth of the time.

Half of what a short command spent importing this package went into writing and compiling methods of records, most of
them never called. Here `==`, `hash` and `repr` are the same few functions for all classes, and `__init__` is compiled
when a class is first instantiated. Everything else is the standard library's doing: `fields`, `replace`, `asdict` and
`is_dataclass` work as ever. Not covered, and refused: fields that are no parameter or do not count in comparisons, and
`__post_init__`. To a type checker it is `dataclasses.dataclass` itself.

    python -m tests.bench.bench_plan_startup
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool, kw_only: bool = False) -> Callable[[type], type]:
        """A decorator that makes a class a frozen record with slots; the flags must say so, as for a reader.

        Raises TypeError for what records here cannot do.
        """
        if not (frozen and slots):
            msg = "a record here is frozen and has slots"
            raise TypeError(msg)

        def decorate(cls: type) -> type:
            cls = _plain(kw_only=kw_only)(cls)
            members = dataclasses.fields(cls)
            if hasattr(cls, "__post_init__") or not all(field.init and field.compare for field in members):
                msg = f"{cls.__qualname__}: every field of a record is a parameter and counts in comparisons"
                raise TypeError(msg)
            for name, method in _methods(tuple(field.name for field in members)).items():
                if name not in cls.__dict__:
                    setattr(cls, name, method)
            return cls

        return decorate


def _plain(*, kw_only: bool) -> Callable[[type], type]:
    """The standard decorator without the methods it would compile."""
    return dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False, kw_only=kw_only, slots=True)


def _methods(names: tuple[str, ...]) -> dict[str, Any]:
    """Those of a class with these fields."""
    values = attrgetter(*names) if names else lambda _: ()

    def equal(self: Any, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    def state(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    return {
        "__init__": _first_init,
        "__eq__": equal,
        "__hash__": hashed,
        "__repr__": _shown,
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__getstate__": state,
        "__setstate__": _restore,
    }


def _first_init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Compile `__init__` of the class, which takes this one's place, and run it."""
    cls = next((base for base in type(self).__mro__ if base.__dict__.get("__init__") is _first_init), None)
    if cls is None:
        # Another thread, which made its first instance at the same time, has compiled it.
        type(self).__init__(self, *args, **kwargs)
        return
    init = _compiled_init(cls)
    cls.__init__ = init  # type: ignore[misc]
    init(self, *args, **kwargs)


def _compiled_init(cls: type) -> Callable[..., None]:
    """`__init__` as one would write it: a parameter for each field, and its value into its slot."""
    scope: dict[str, Any] = {"MISSING": dataclasses.MISSING}
    positional: list[str] = ["self"]
    named: list[str] = []
    body: list[str] = []
    for field in dataclasses.fields(cls):
        name, default, value = field.name, "", field.name
        scope[f"set_{name}"] = getattr(cls, name).__set__
        if field.default is not dataclasses.MISSING:
            scope[f"default_{name}"], default = field.default, f"=default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            scope[f"make_{name}"], default = field.default_factory, "=MISSING"
            value = f"make_{name}() if {name} is MISSING else {name}"
        (named if field.kw_only else positional).append(name + default)
        body.append(f" set_{name}(self, {value})")
    parameters = ", ".join([*positional, "*", *named] if named else positional)
    exec("\n".join([f"def __init__({parameters}):", *body, " return None"]), scope)  # noqa: S102 - names of fields
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _shown(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__qualname__}({shown})"


def _refuse(self: Any, name: str, _value: object = None) -> NoReturn:
    msg = f"cannot change field {name!r} of {type(self).__qualname__}"
    raise dataclasses.FrozenInstanceError(msg)


def _restore(self: Any, values: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), values, strict=True):
        object.__setattr__(self, field.name, value)

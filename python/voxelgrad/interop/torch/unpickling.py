"""An interpreter of the few pickle opcodes that files of tensors need; it can call nothing.

A pickle is a program for a machine with a stack and a memo. This one builds numbers, strings,
lists, tuples and dictionaries. A global name is looked up in a table that the caller gives;
"calling" one runs the caller's own function of that table. Nothing is imported, no attribute is
set, and every opcode or name that is not listed is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[tuple[Any, ...]], Any]

# Opcodes that make or call arbitrary objects, for messages that name them.
_REFUSED = {
    0x69: "INST",
    0x6F: "OBJ",
    0x81: "NEWOBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x50: "PERSID",
    0x97: "NEXT_BUFFER",
}


class Global:
    """A name that the table knows: a constant, or something to call."""

    def __init__(self, name: str, meaning: Any) -> None:
        self.name = name
        self.meaning = meaning


class Mark:
    """Where a run of values on the stack begins."""


class Machine:
    """Runs one pickle.

    Args:
        program: The bytes.
        known: Global name ("module name") -> its meaning: a function of the argument tuple, or a
            constant.
        persistent: What makes an object of a persistent id, such as a storage.
    """

    def __init__(
        self, program: bytes, known: Mapping[str, Any], persistent: Callable[[Any], Any]
    ) -> None:
        self._program = program
        self._known = known
        self._persistent = persistent
        self._place = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the object that the pickle describes.

        Raises:
            ValueError: If it is damaged or asks for anything but plain data and known names.
        """
        while True:
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                return self._pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(
                    f"its pickle has the opcode {_REFUSED.get(code, hex(code))} at byte "
                    f"{self._place - 1}; only those that tensors need are read, nothing is executed"
                )
            step(self)

    def _take(self, count: int) -> bytes:
        part = self._program[self._place : self._place + count]
        if len(part) != count:
            raise ValueError(f"its pickle ends in the middle, at byte {len(self._program)}")
        self._place += count
        return part

    def _number(self, format: str) -> Any:
        return struct.unpack(format, self._take(struct.calcsize(format)))[0]

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"its pickle is damaged: the text before byte {self._place} is not UTF-8"
            ) from error

    def _line(self) -> str:
        end = self._program.find(b"\n", self._place)
        if end < 0:
            raise ValueError("its pickle ends in the middle of a name")
        line = self._text(end - self._place)
        self._place += 1
        return line

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self, kind: type[Any] | tuple[type[Any], ...] = object) -> Any:
        """Return the topmost value, which must not be a mark and must be of a kind."""
        value = self._top(kind)
        self._stack.pop()
        return value

    def _top(self, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        if not self._stack:
            raise ValueError(f"its pickle is damaged: nothing is there at byte {self._place}")
        return self._checked(self._stack[-1], kind)

    def _checked(self, value: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        if isinstance(value, Mark) or not isinstance(value, kind):
            raise ValueError(
                f"its pickle is damaged: at byte {self._place} a {type(value).__name__} lies where "
                f"another kind of value must"
            )
        return value

    def _pop_to_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while place >= 0 and not isinstance(self._stack[place], Mark):
            place -= 1
        if place < 0:
            raise ValueError(f"its pickle is damaged: there is no mark before byte {self._place}")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _tuple(self, count: int) -> None:
        self._push(tuple([self._pop() for _ in range(count)][::-1]))

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top(object)

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError(f"its pickle is damaged: it recalls value {index} that it never kept")
        self._push(self._memo[index])

    def _global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self._known:
            raise ValueError(
                f"it asks for {full[:200]!r}; only tensors, numbers, strings, lists and "
                f"dictionaries are read, nothing is executed; save model.state_dict() with "
                f"torch.save"
            )
        self._push(Global(full, self._known[full]))

    def _stack_global(self) -> None:
        name, module = self._pop(str), self._pop(str)
        self._global(module, name)

    def _set_items(self, values: list[Any]) -> None:
        target = self._top(dict)
        if len(values) % 2:
            raise ValueError(f"its pickle is damaged: a key without a value at byte {self._place}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Hashing a tuple of tuples of ... could take for ever.
            target[self._checked(key, (str, int, float))] = value

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _call(self) -> None:
        arguments, function = self._pop(tuple), self._pop(Global)
        if not callable(function.meaning):
            raise ValueError(f"its pickle calls {function.name}, which is nothing to call")
        self._push(function.meaning(arguments))

    def _build(self) -> None:
        """Drop the attributes of a dictionary, PyTorch's version numbers; refuse all others."""
        self._pop()
        self._top(dict)

    def _long(self) -> None:
        self._push(int.from_bytes(self._take(self._number("<B")), "little", signed=True))


_STEPS: dict[int, Callable[[Machine], Any]] = {
    0x80: lambda m: m._take(1),  # PROTO
    0x95: lambda m: m._take(8),  # FRAME
    0x28: lambda m: m._push(Mark()),  # MARK
    0x30: lambda m: m._pop(),  # POP
    0x31: lambda m: m._pop_to_mark(),  # POP_MARK
    0x4E: lambda m: m._push(None),  # NONE
    0x88: lambda m: m._push(True),  # NEWTRUE
    0x89: lambda m: m._push(False),  # NEWFALSE
    0x4A: lambda m: m._push(m._number("<i")),  # BININT
    0x4B: lambda m: m._push(m._number("<B")),  # BININT1
    0x4D: lambda m: m._push(m._number("<H")),  # BININT2
    0x8A: lambda m: m._long(),  # LONG1
    0x47: lambda m: m._push(m._number(">d")),  # BINFLOAT
    0x58: lambda m: m._push(m._text(m._number("<I"))),  # BINUNICODE
    0x8C: lambda m: m._push(m._text(m._number("<B"))),  # SHORT_BINUNICODE
    0x7D: lambda m: m._push({}),  # EMPTY_DICT
    0x5D: lambda m: m._push([]),  # EMPTY_LIST
    0x29: lambda m: m._push(()),  # EMPTY_TUPLE
    0x74: lambda m: m._push(tuple(m._pop_to_mark())),  # TUPLE
    0x85: lambda m: m._tuple(1),  # TUPLE1
    0x86: lambda m: m._tuple(2),  # TUPLE2
    0x87: lambda m: m._tuple(3),  # TUPLE3
    0x61: lambda m: m._append([m._pop()]),  # APPEND
    0x65: lambda m: m._append(m._pop_to_mark()),  # APPENDS
    0x73: lambda m: m._set_item(),  # SETITEM
    0x75: lambda m: m._set_items(m._pop_to_mark()),  # SETITEMS
    0x71: lambda m: m._remember(m._number("<B")),  # BINPUT
    0x72: lambda m: m._remember(m._number("<I")),  # LONG_BINPUT
    0x94: lambda m: m._remember(len(m._memo)),  # MEMOIZE
    0x68: lambda m: m._recall(m._number("<B")),  # BINGET
    0x6A: lambda m: m._recall(m._number("<I")),  # LONG_BINGET
    0x63: lambda m: m._global(m._line(), m._line()),  # GLOBAL
    0x93: lambda m: m._stack_global(),  # STACK_GLOBAL
    0x51: lambda m: m._push(m._persistent(m._pop())),  # BINPERSID
    0x52: lambda m: m._call(),  # REDUCE
    0x62: lambda m: m._build(),  # BUILD
}

"""Checks of layer arguments, so that a wrong one fails where the layer is built."""

from __future__ import annotations

from collections.abc import Sequence

Ints = int | Sequence[int]


def spatial(owner: str, name: str, value: Ints, rank: int, least: int = 1) -> tuple[int, ...]:
    """Return ``value`` as a tuple with one integer for each spatial axis.

    Args:
        owner: Name of the layer, for the message.
        name: Name of the argument.
        value: One integer for all axes or one for each.
        rank: Number of spatial axes, 1 to 3.
        least: The smallest value that is allowed.

    Raises:
        ValueError: If the number of values or one of them is wrong.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank:
        raise ValueError(f"{owner}: {name} is {value}; give one integer or {rank} of them")
    for item in values:
        at_least(owner, name, item, least)
    return tuple(int(item) for item in values)


def at_least(owner: str, name: str, value: int, least: int) -> int:
    """Return ``value`` if it is an integer of at least ``least``.

    Raises:
        ValueError: If it is smaller or no integer.
    """
    if not hasattr(value, "__index__") or isinstance(value, bool) or value < least:
        raise ValueError(f"{owner}: {name} is {value!r}; it must be an integer of at least {least}")
    return int(value)


def probability(owner: str, name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1).

    Raises:
        ValueError: If it does not.
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{owner}: {name} is {value}; it must be at least 0 and below 1")
    return float(value)


def groups_divide(owner: str, groups: int, **channels: int) -> int:
    """Return ``groups`` if every number of channels is a multiple of it.

    Raises:
        ValueError: If one is not.
    """
    at_least(owner, "groups", groups, 1)
    for name, count in channels.items():
        if count % groups:
            raise ValueError(
                f"{owner}: {name} is {count}; it must be a multiple of groups = {groups}"
            )
    return groups


def positive(owner: str, name: str, value: float) -> float:
    """Return ``value`` if it is finite and above 0.

    Raises:
        ValueError: If it is not.
    """
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{owner}: {name} is {value}; it must be finite and above 0")
    return float(value)


def fraction(owner: str, name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1].

    Raises:
        ValueError: If it does not.
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{owner}: {name} is {value}; it must be between 0 and 1")
    return float(value)

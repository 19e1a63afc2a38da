"""A network as Keras describes it, as a plain list of steps that JSON can hold.

Networks inside the network are laid out in its place, shared layers are applied several times.
Nothing in a description is code: layers are known by name, all else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from voxelgrad.interop.keras.description import NETWORKS, described_layers
from voxelgrad.interop.keras.layers import LAYERS
from voxelgrad.interop.port import Port

_MOST_STEPS, _DEEPEST = 10_000, 16
_NOT_NEEDED = ("_initializer", "_regularizer", "_constraint", "dtype", "trainable", "name")
Reference = tuple[str, int, int]


@dataclass(frozen=True)
class Step:
    """One application of a layer.

    Attributes:
        layer: The layer's name, after those of the networks that it lies in.
        inputs: Numbers of values: those given to the network come first, then one a step.
        training: Whether it always runs as in training, or never; None as the whole network does.
    """

    layer: str
    inputs: list[int]
    training: bool | None = None


@dataclass(frozen=True)
class Graph:
    """Layers and the order in which they are applied.

    Attributes:
        layers: Name -> class and settings.
        inputs: What is given.
        steps: What is computed, in an order in which it can be.
        outputs: Numbers of the values that are returned.
        output_names: The layers that they come from.
    """

    layers: dict[str, tuple[str, dict[str, Any]]]
    inputs: list[Port]
    steps: list[Step]
    outputs: list[int]
    output_names: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return dictionaries and lists that ``from_json`` takes."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Graph:
        """Return the graph that ``as_json`` described.

        Raises:
            KeyError, TypeError, ValueError: If it did not.
        """
        described = data["layers"].items()
        layers = {name: (str(kind), dict(settings)) for name, (kind, settings) in described}
        ports = [Port(**port) for port in data["inputs"]]
        steps = [Step(**step) for step in data["steps"]]
        for number, step in enumerate(steps, len(ports)):
            if step.layer not in layers or not _are_places(step.inputs, number):
                raise ValueError(f"step {number} uses a layer or values that are not there")
        outputs, names = list(data["outputs"]), list(data["output_names"])
        if not _are_places(outputs, len(ports) + len(steps)) or len(outputs) != len(names):
            raise ValueError("what is given out is not there")
        return Graph(layers, ports, steps, outputs, names)


def _are_places(values: list[Any], count: int) -> bool:
    """Return whether there are values, all of them numbers below ``count``."""
    return bool(values) and all(type(value) is int and 0 <= value < count for value in values)


def parse(config: dict[str, Any]) -> Graph:
    """Return the graph of a network's description.

    Raises:
        ValueError: If it is no Sequential or Functional, or uses what is not understood; the
            message names the layer.
    """
    if config.get("class_name") not in NETWORKS:
        raise ValueError(
            f"its network is of class {str(config.get('class_name'))[:100]!r}; understood are "
            f"Sequential and Functional, whose layers the file lists"
        )
    _refuse_unknown(config)
    builder = _Builder()
    outputs = builder.network(config, "", None, None, 0)
    names = [builder.origin[value] for value in outputs]
    numbers = {value: place for place, value in enumerate(builder.order())}
    steps = [
        Step(step.layer, [numbers[value] for value in step.inputs], step.training)
        for step in builder.steps.values()
    ]
    return Graph(builder.layers, builder.ports, steps, [numbers[v] for v in outputs], names)


def _refuse_unknown(config: dict[str, Any]) -> None:
    unknown = {
        layer.kind: layer.name
        for layer in reversed(list(described_layers(config)))
        if layer.kind not in LAYERS and layer.kind != "InputLayer"
    }
    if "Lambda" in unknown:
        raise ValueError(
            f"layer {unknown['Lambda']!r} is a Lambda, which holds code; nothing in a file is "
            f"executed: build the network without it, and use load_weights"
        )
    if unknown:
        listed = [f"{kind[:100]} (layer {name!r})" for kind, name in reversed(unknown.items())]
        raise ValueError(
            f"it uses layers that are not understood: {', '.join(listed[:20])}; build the network "
            f"with voxelgrad's layers, and use load_weights"
        )


class _Builder:
    """Lays networks out. A value is a number; inputs and steps come to theirs as they are met."""

    def __init__(self) -> None:
        self.layers: dict[str, tuple[str, dict[str, Any]]] = {}
        self.ports: list[Port] = []
        self.inputs: list[int] = []
        self.steps: dict[int, Step] = {}
        self.origin: dict[int, str] = {}

    def order(self) -> list[int]:
        """Return all values, those given first."""
        return [*self.inputs, *self.steps]

    def network(
        self,
        entry: dict[str, Any],
        prefix: str,
        given: list[int] | None,
        training: bool | None,
        depth: int,
    ) -> list[int]:
        """Apply a network to values, or to new inputs, and return what comes out."""
        if depth > _DEEPEST:
            raise ValueError(f"networks lie in each other more than {_DEEPEST} deep")
        check_origin(entry, prefix or "the network")
        settings = entry.get("config")
        if isinstance(settings, list):
            settings = {"layers": settings}
        if not isinstance(settings, dict) or not isinstance(settings.get("layers"), list):
            raise ValueError(f"{prefix or 'the network'} lists no layers")
        arguments = (settings, prefix, given, training, depth)
        if entry["class_name"] == "Sequential":
            return self._sequential(*arguments)
        return self._functional(*arguments)

    def _sequential(
        self,
        settings: dict[str, Any],
        prefix: str,
        given: list[int] | None,
        training: bool | None,
        depth: int,
    ) -> list[int]:
        values = given
        for name, entry in self._entries(settings, prefix).items():
            is_input = entry["class_name"] == "InputLayer"
            if values is None:
                values = [self._input(name, entry)]
            if not is_input:
                values = self._apply(entry, prefix, name, values, training, depth)
        return values or []

    def _functional(
        self,
        settings: dict[str, Any],
        prefix: str,
        given: list[int] | None,
        training: bool | None,
        depth: int,
    ) -> list[int]:
        entries = self._entries(settings, prefix)
        known: dict[Reference, int] = {}
        starts = list(_references(settings.get("input_layers")))
        if given is not None and len(given) != len(starts):
            raise ValueError(f"{prefix} takes {len(starts)} inputs, and gets {len(given)}")
        for place, reference in enumerate(starts):
            if reference[0] not in entries:
                raise ValueError(f"its input {reference[0]!r} is none of its layers")
            start = entries[reference[0]]
            known[reference] = given[place] if given else self._input(reference[0], start)
        nodes = {
            (name, number): _node(node, f"{prefix}{name}")
            for name, entry in entries.items()
            if entry["class_name"] != "InputLayer"
            for number, node in enumerate(_listed(entry.get("inbound_nodes"), f"{prefix}{name}"))
        }
        for name, number in _sorted(nodes, prefix):
            references, flag = nodes[name, number]
            missing = [ref for ref in references if ref not in known]
            if missing:
                raise ValueError(
                    f"layer '{prefix}{name}' takes its input from {missing[0][0]!r}, which does "
                    f"not give it"
                )
            values = [known[reference] for reference in references]
            mode = training if flag is None else flag
            results = self._apply(entries[name], prefix, name, values, mode, depth)
            known.update({(name, number, place): v for place, v in enumerate(results)})
        ends = list(_references(settings.get("output_layers")))
        if not ends or any(reference not in known for reference in ends):
            raise ValueError(f"{prefix or 'the network'} does not compute what it gives out")
        return [known[reference] for reference in ends]

    def _entries(self, settings: dict[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
        """Return name -> entry of a network's layers."""
        entries = dict(self._checked(entry, prefix) for entry in settings["layers"])
        if not entries or len(entries) != len(settings["layers"]):
            problem = "two layers of one name" if entries else "no layers"
            raise ValueError(f"{prefix or 'the network'} has {problem}")
        return entries

    def _checked(self, entry: Any, prefix: str) -> tuple[str, dict[str, Any]]:
        """Return a layer's name and entry."""
        if not isinstance(entry, dict) or not isinstance(entry.get("config"), (dict, list)):
            raise ValueError(f"{prefix or 'the network'} has an entry that is no layer")
        settings = entry["config"]
        name = settings.get("name") if isinstance(settings, dict) else entry.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{prefix or 'the network'} has a layer without a name")
        check_origin(entry, f"layer '{prefix}{name}'")
        return name, entry

    def _input(self, name: str, entry: dict[str, Any]) -> int:
        """Add an input of the whole network, as its first layer describes it."""
        settings = entry["config"] if isinstance(entry["config"], dict) else {}
        built = entry.get("build_config")
        shape = settings.get("batch_shape") or settings.get("batch_input_shape")
        if shape is None and isinstance(built, dict):
            shape = built.get("input_shape")
        fits = isinstance(shape, list) and all(n is None or isinstance(n, int) for n in shape)
        self.ports.append(Port(name, "float32", shape if fits else None))
        return self._value(name, self.inputs.append)

    def _value(self, name: str, add: Any) -> int:
        number = len(self.origin)
        if number >= _MOST_STEPS:
            raise ValueError(f"it applies more than {_MOST_STEPS:,} layers")
        self.origin[number] = name
        add(number)
        return number

    def _apply(
        self,
        entry: dict[str, Any],
        prefix: str,
        name: str,
        values: list[int],
        training: bool | None,
        depth: int,
    ) -> list[int]:
        path, kind = f"{prefix}{name}", entry["class_name"]
        if kind in NETWORKS:
            return self.network(entry, f"{path}/", values, training, depth + 1)
        settings = {
            key: value
            for key, value in entry["config"].items()
            if not key.endswith(_NOT_NEEDED) and value is not None
        }
        self.layers.setdefault(path, (kind, settings))
        step = Step(path, values, training)
        return [self._value(path, lambda number: self.steps.update({number: step}))]


def check_origin(entry: dict[str, Any], what: str) -> None:
    """Raise unless an entry is of Keras's own, as far as it says.

    Raises:
        ValueError: If it names another module or a registered class.
    """
    kind, module = entry.get("class_name"), entry.get("module")
    registered = entry.get("registered_name")
    if not isinstance(kind, str):
        raise ValueError(f"{what} has no class")
    own = module is None or str(module).split(".")[0] in ("keras", "tf_keras", "builtins")
    if not own or registered not in (None, "", kind) or ">" in kind:
        origin = registered if registered not in (None, "", kind) else module or kind
        raise ValueError(
            f"{what} is a {kind[:100]} of {str(origin)[:100]!r}; only Keras's own layers are "
            f"understood, nothing else in a file is looked up or executed"
        )


def _sorted(nodes: dict[tuple[str, int], Any], prefix: str) -> list[tuple[str, int]]:
    """Return the nodes in an order in which they can be computed."""
    sorter: TopologicalSorter[tuple[str, int]] = TopologicalSorter()
    for node, (references, _) in nodes.items():
        sorter.add(node, *((ref[0], ref[1]) for ref in references if (ref[0], ref[1]) in nodes))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise ValueError(f"layer '{prefix}{error.args[1][0][0]}' needs its own output") from error


def _node(node: Any, what: str) -> tuple[list[Reference], bool | None]:
    """Return what one application of a layer takes, and whether it says how it runs."""
    if isinstance(node, dict):  # Keras 3
        given, options = node.get("args"), node.get("kwargs") or {}
        if not isinstance(given, list) or len(given) != 1 or not isinstance(options, dict):
            raise ValueError(f"layer {what!r} is applied to more than its input")
        references = list(_tensors(given[0]))
    else:
        items = [node] if isinstance(node, list) and node and isinstance(node[0], str) else node
        references = list(_references(items))
        options = {}
        for item in items:
            if len(item) > 3 and isinstance(item[3], dict):
                options |= item[3]
    training = options.get("training")
    extra = [key for key, value in options.items() if key != "training" and value is not None]
    if extra or training not in (None, True, False) or not references:
        raise ValueError(f"layer {what!r} is applied with {', '.join(extra) or 'odd arguments'}")
    return references, training


def _tensors(value: Any) -> Iterator[Reference]:
    """Yield the references in Keras 3's argument of a layer: a tensor or a list of them."""
    for item in value if isinstance(value, list) else [value]:
        settings = item.get("config") if isinstance(item, dict) else None
        history = settings.get("keras_history") if isinstance(settings, dict) else None
        if history is None:
            raise ValueError("a layer is applied to something that is no layer's output")
        yield from _references([history])


def _references(value: Any) -> Iterator[Reference]:
    """Yield references to outputs of layers: one, a list, or a dictionary of them."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = [value]
    for item in value.values() if isinstance(value, dict) else _listed(value, "the network"):
        match item:
            case [str(name), int(node), int(tensor), *_]:
                yield name, node, tensor
            case _:
                raise ValueError("the description refers to something that is no layer's output")


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what!r} has something else where a list of connections must be")
    return value

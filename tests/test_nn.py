"""Modules find, save and restore their parameters; layers pass their settings on."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn
from voxelgrad.nn import init


class Pair(nn.Module):
    """Two linear layers, a parameter of its own and a buffer."""

    def __init__(self) -> None:
        self.first = nn.Linear(3, 2)
        self.scale = nn.Parameter(np.ones(2, np.float32))
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(2, 1, bias=False))
        self.register_buffer("seen", np.zeros(1, np.float32))

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return self.second(self.first(input) * self.scale)


def doubles(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=shape)


def test_parameters_have_dotted_names_in_a_fixed_order() -> None:
    assert [name for name, _ in Pair().named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "second.1.weight",
    ]
    assert [name for name, _ in Pair().named_buffers()] == ["seen"]
    assert Pair().num_parameters() == 2 + 6 + 2 + 2


def test_a_shared_parameter_is_listed_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert model.num_parameters() == 4 + 2 + 2
    repeated = nn.Sequential(model[0], model[0])
    assert len(list(repeated.parameters())) == 2


def test_a_plain_list_of_modules_is_refused() -> None:
    module = nn.Module()
    with pytest.raises(TypeError, match=r"Module\.layers: a list hides .* nn\.ModuleList"):
        module.layers = [nn.ReLU()]
    with pytest.raises(TypeError, match="dict hides"):
        module.layers = {"a": nn.Parameter(np.zeros(1, np.float32))}
    module.sizes = [1, 2]
    assert module.sizes == [1, 2]


def test_containers_count_index_and_refuse_what_is_no_module() -> None:
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    assert len(layers) == 2
    assert isinstance(layers[-1], nn.Tanh)
    assert [type(layer).__name__ for layer in layers] == ["ReLU", "Tanh"]
    with pytest.raises(TypeError, match="item 1 is function; give a Module"):
        nn.Sequential(nn.ReLU(), lambda x: x)  # type: ignore[arg-type]


def test_repr_shows_the_tree() -> None:
    assert repr(Pair()) == (
        "Pair(\n"
        "  (first): Linear(3, 2)\n"
        "  (second): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(2, 1, bias=False)\n"
        "  )\n"
        ")"
    )
    text = repr(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False))
    assert text == (
        "Conv2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), groups=2, bias=False)"
    )


def test_train_and_eval_reach_every_module() -> None:
    model = Pair()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())


def test_apply_visits_every_module_once() -> None:
    visited: list[str] = []
    Pair().apply(lambda module: visited.append(type(module).__name__))
    assert visited == ["Pair", "Linear", "Sequential", "ReLU", "Linear"]


def test_forward_hooks_see_the_output_until_they_are_removed() -> None:
    model, seen = Pair(), []
    remove = model.first.register_forward_hook(lambda module, inputs, output: seen.append(output))
    input = vg.Tensor(np.ones((4, 3), np.float32))
    model(input)
    remove()
    model(input)
    assert [output.shape for output in seen] == [(4, 2)]


def test_zero_grad_forgets_gradients() -> None:
    model = Pair()
    model(vg.Tensor(np.ones((4, 3), np.float32))).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_register_buffer_refuses_taken_names_and_other_types() -> None:
    module = nn.Module()
    with pytest.raises(ValueError, match=r"name 'a\.b' must be a new attribute"):
        module.register_buffer("a.b", np.zeros(1))
    with pytest.raises(TypeError, match="give a numpy array"):
        module.register_buffer("a", [1.0])  # type: ignore[arg-type]
    module.register_buffer("a", np.zeros(1))
    with pytest.raises(ValueError, match="new attribute"):
        module.register_buffer("a", np.zeros(1))


def test_unknown_devices_are_named() -> None:
    model = Pair()
    assert model.to("cpu") is model
    with pytest.raises(ValueError, match=r"Module\.to: device is 'tpu'; choose 'cpu' or 'cuda'"):
        model.to("tpu")


def test_astype_converts_parameters_and_buffers() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm(3)).astype(np.float64)
    assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(np.float64)}
    assert {array.dtype for array in model.buffers()} == {np.dtype(np.float64)}
    assert model(vg.Tensor(np.ones((4, 2)))).dtype == np.float64
    with pytest.raises(ValueError, match="dtype is float16"):
        model.astype(np.float16)


def test_a_copy_of_a_module_is_independent() -> None:
    model = Pair()
    other = copy.deepcopy(model)
    other.scale.data[...] = 5.0
    assert model.scale.data[0] == 1.0
    assert list(other.state_dict()) == list(model.state_dict())


def test_state_dict_is_a_snapshot_that_load_restores() -> None:
    model = Pair()
    state = model.state_dict()
    model.scale.data[...] = 7.0
    assert state["scale"].tolist() == [1.0, 1.0]
    model.load_state_dict(state)
    assert model.scale.data.tolist() == [1.0, 1.0]


def test_load_state_dict_lists_every_problem_and_changes_nothing() -> None:
    model = Pair()
    state = model.state_dict()
    before = model.state_dict()
    del state["first.bias"]
    state["first.weight"] = np.zeros((5, 3), np.float32)
    state["scale"] = np.zeros(2, np.complex64)
    state["third.weight"] = np.zeros(1, np.float32)
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    assert "first.bias is missing" in message
    assert "third.weight is unexpected" in message
    assert "first.weight has shape (5, 3), the module needs (2, 3)" in message
    assert "scale has dtype complex64" in message
    after = model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


def test_load_state_dict_not_strict_reports_names_but_still_refuses_shapes() -> None:
    model = Pair()
    result = model.load_state_dict({"scale": np.full(2, 3.0), "other": np.zeros(1)}, strict=False)
    assert result.unexpected == ["other"]
    assert "first.weight" in result.missing
    assert model.scale.data.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="scale has shape"):
        model.load_state_dict({"scale": np.zeros(9)}, strict=False)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Linear(64, 256), 64),
        (nn.Conv1d(16, 64, 5), 5 * 16),
        (nn.Conv2d(32, 64, 3), 9 * 32),
        (nn.Conv3d(8, 32, 3, groups=4), 27 * 2),
        (nn.ConvTranspose2d(64, 32, 2, 2), 4 * 32),
        (nn.ConvTranspose3d(16, 32, 3, groups=2), 27 * 16),
    ],
)
def test_default_bounds_are_those_of_pytorch(layer: Any, fan_in: int) -> None:
    bound = 1.0 / np.sqrt(fan_in)
    for array in (layer.weight.data, layer.bias.data):
        assert np.abs(array).max() <= bound
    # The largest of n uniform values misses the bound by about bound / n.
    assert np.abs(layer.weight.data).max() > 0.98 * bound


@pytest.mark.parametrize(
    ("layer", "torch_name", "arguments"),
    [
        (nn.ConvTranspose2d(64, 32, 2, 2), "ConvTranspose2d", (64, 32, 2, 2)),
        (nn.Conv3d(8, 32, 3), "Conv3d", (8, 32, 3)),
        (nn.Linear(64, 256), "Linear", (64, 256)),
    ],
)
def test_default_bounds_agree_with_pytorch_layers(
    layer: Any, torch_name: str, arguments: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, torch_name)(*arguments).weight.detach().numpy()
    assert np.abs(layer.weight.data).max() == pytest.approx(np.abs(theirs).max(), rel=0.02)


def test_one_seed_decides_all_weights() -> None:
    vg.manual_seed(3)
    first = Pair().state_dict()
    vg.manual_seed(3)
    second = Pair().state_dict()
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda w: init.kaiming_normal(w), np.sqrt(2 / (9 * 50))),
        (lambda w: init.kaiming_uniform(w), np.sqrt(2 / (9 * 50))),
        (lambda w: init.kaiming_normal(w, mode="fan_out"), np.sqrt(2 / (9 * 200))),
        (lambda w: init.kaiming_uniform(w, 1.0), np.sqrt(1 / (9 * 50))),
        (lambda w: init.kaiming_normal(w, nonlinearity="tanh"), 5 / 3 / np.sqrt(9 * 50)),
        (lambda w: init.xavier_normal(w, 2.0), 2 * np.sqrt(2 / (9 * 250))),
        (lambda w: init.xavier_uniform(w), np.sqrt(2 / (9 * 250))),
    ],
)
def test_initialisers_have_the_variance_of_their_papers(fill: Any, std: float) -> None:
    vg.manual_seed(0)
    weight = nn.Parameter(np.empty((200, 3, 3, 50), np.float32))
    assert fill(weight) is weight
    # 90000 draws: the standard error of the deviation is 0.24 %; 1.5 % is six of them.
    assert weight.data.std() == pytest.approx(std, rel=0.015)
    assert abs(weight.data.mean()) < 6 * std / 300


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (6, 3, 3, 2), (40, 3, 3, 2)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    weight = init.orthogonal(nn.Parameter(np.empty(shape)), gain=2.0).data.reshape(shape[0], -1)
    product = weight @ weight.T if shape[0] <= weight.shape[1] else weight.T @ weight
    np.testing.assert_allclose(product, 4.0 * np.eye(len(product)), atol=1e-12)


def test_initialisers_refuse_what_has_no_fan_or_name() -> None:
    with pytest.raises(ValueError, match="two axes or more"):
        init.xavier_normal(nn.Parameter(np.empty(3, np.float32)))
    with pytest.raises(ValueError, match="nonlinearity 'swish' is unknown"):
        init.kaiming_normal(nn.Parameter(np.empty((3, 3))), nonlinearity="swish")
    with pytest.raises(ValueError, match="mode is 'fan'"):
        init.kaiming_normal(nn.Parameter(np.empty((3, 3))), mode="fan")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Conv2d(0, 8, 3), "Conv2d: in_channels is 0"),
        (lambda: nn.Conv2d(3, 8, 0), "Conv2d: kernel_size is 0"),
        (lambda: nn.Conv2d(3, 8, (3, 3, 3)), "Conv2d: kernel_size is .* give one integer or 2"),
        (lambda: nn.Conv3d(3, 8, 3, padding=-1), "Conv3d: padding is -1; .* at least 0"),
        (lambda: nn.Conv2d(3, 8, 3, stride=1.5), "Conv2d: stride is 1.5"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), "out_channels is 6; .* multiple of groups = 4"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, output_padding=-1), "output_padding is -1"),
        (lambda: nn.Linear(3, True), "Linear: out_features is True"),
        (lambda: nn.BatchNorm(3, eps=0.0), "BatchNorm: eps is 0.0"),
        (lambda: nn.BatchNorm(3, momentum=2.0), "BatchNorm: momentum is 2.0"),
        (lambda: nn.GroupNorm(3, 8), "GroupNorm: num_features is 8; .* multiple of groups = 3"),
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape is empty"),
        (lambda: nn.MaxPool2d(2, padding=2), "MaxPool2d: padding is .* at most half"),
        (lambda: nn.AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: output_size is 0"),
        (lambda: nn.Dropout(1.0), "Dropout: p is 1.0"),
        (lambda: nn.ELU(-1.0), "ELU: alpha is -1.0"),
        (lambda: nn.Upsample(), "Upsample: give exactly one"),
        (lambda: nn.Upsample(scale_factor=2, mode="area"), "Upsample: mode is 'area'"),
        (lambda: nn.BCEWithLogitsLoss(pos_weight=0.0), "pos_weight is 0.0"),
        (lambda: nn.DiceCELoss(smooth=0.0), "DiceCELoss: smooth is 0.0"),
        (lambda: nn.FocalLoss(gamma=-1.0), "FocalLoss: gamma is -1.0"),
    ],
)
def test_a_wrong_argument_fails_where_the_layer_is_built(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()

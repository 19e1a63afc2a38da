"""Models on a CUDA device in the training loop, and in everything that takes a model and arrays.

Emulated unless VOXELGRAD_TEST_CUDA=1, as in test_cuda_emulation.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import voxelgrad as vg
from cuda_device import backend
from test_train import StopAt, assert_same_bits, blobs, make_learner
from voxelgrad import backends, interop, models, nn, ops, optim, train
from voxelgrad.data import ArrayDataset, Sample
from voxelgrad.train import metrics


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The backend of the tests is the one in force, and nothing is left of it afterwards."""
    backend()
    yield
    backends._loaded.pop("cuda", None)


def unet(device: str, spatial_dims: int = 2) -> models.UNet:
    vg.manual_seed(0)
    return models.UNet(2, 3, spatial_dims, features=(4, 8)).to(device)


def images(count: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, size, size, 2), dtype=np.float32)


def test_training_on_the_device_follows_that_on_the_cpu() -> None:
    """Same batches, masks and steps: the figures differ by rounding only.

    But the bias before the batch norm has no gradient except rounding, of which Adam makes whole
    steps: the norm's running mean follows it, and so do the figures of the validation.
    """
    expected = make_learner().fit(2)
    learner = make_learner(device="cuda")
    for mine, theirs in zip(learner.fit(2), expected, strict=True):
        assert mine.keys() == theirs.keys()
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)
        assert mine["learning_rate"] == theirs["learning_rate"]
        assert mine["validation_loss"] == pytest.approx(theirs["validation_loss"], abs=0.02)
    assert {p.device for p in learner.model.parameters()} == {"cuda"}


def test_compiled_training_ends_in_the_same_bits_as_the_eager_one() -> None:
    learners = []
    for compile in (False, True):
        learners.append(make_learner(device="cuda", compile=compile))
        learners[-1].fit(2)
    assert_same_bits(*learners)


def test_resuming_on_the_device_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole = make_learner(device="cuda")
    whole.fit(2)
    stopped = make_learner([train.Checkpoint(tmp_path), StopAt(5)], device="cuda")
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(2)
    resumed = make_learner(device="cuda", compile=True)
    resumed.fit(2, resume=tmp_path / "last.ckpt.safetensors")
    assert_same_bits(whole, resumed)


def contents(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return a file's metadata and arrays: their order in it is not fixed."""
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return file.metadata(), {name: array.tobytes() for name, array in arrays.items()}


def test_a_checkpoint_is_the_same_file_from_either_device(tmp_path: Path) -> None:
    make_learner([train.Checkpoint(tmp_path)]).fit(1)
    path, copy = tmp_path / "last.ckpt.safetensors", tmp_path / "copy.safetensors"
    moved = make_learner([train.Checkpoint(tmp_path)], device="cuda")
    moved.restore(path)
    train.write_checkpoint(copy, moved.state())
    assert contents(copy) == contents(path)
    moved.fit(2)
    back = make_learner()
    back.fit(3, resume=path)
    assert back.history[-1]["train_loss"] < back.history[0]["train_loss"]


def test_a_model_is_the_same_file_from_either_device(tmp_path: Path) -> None:
    for place in ("cpu", "cuda"):
        vg.save(tmp_path / place, unet(place))
    assert contents(tmp_path / "cpu") == contents(tmp_path / "cuda")
    assert {p.device for p in vg.load(tmp_path / "cuda").parameters()} == {"cpu"}


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("size", [8, 7])
def test_predictions_take_and_give_numpy_arrays(size: int, precision: str, mirror: bool) -> None:
    here, there = (
        list(train.predict(unet(place), images(size=size), 2, mirror, precision))
        for place in ("cpu", "cuda")
    )
    tolerance = 1e-5 if precision == "float32" else 0.03
    for mine, theirs in zip(there, here, strict=True):
        assert type(mine.probabilities) is np.ndarray
        assert mine.probabilities.shape == (size, size, 3)
        np.testing.assert_allclose(mine.probabilities, theirs.probabilities, atol=tolerance)


def test_evaluation_measures_on_the_cpu_what_the_device_computed() -> None:
    labels = np.random.default_rng(1).integers(0, 3, (3, 8, 8))
    data = ArrayDataset(images(), labels)
    kinds = (metrics.Dice(3), metrics.AUC(3), metrics.Accuracy(3))
    here, there = (
        train.evaluate(unet(place), data, kinds, nn.CrossEntropyLoss([1, 2, 3]), 2)
        for place in ("cpu", "cuda")
    )
    assert here.keys() == there.keys() == {"loss", "dice", "auc", "accuracy"}
    for name, value in here.items():
        assert there[name] == pytest.approx(value, rel=1e-4), name


def test_a_single_logit_gives_two_classes() -> None:
    vg.manual_seed(0)
    model = models.CNN(2, 1, features=(4,))
    expected = model.predict_proba(images())
    first = [p.probabilities for p in train.predict(model, images())]
    model.to("cuda")
    np.testing.assert_allclose(model.predict_proba(images()), expected, atol=1e-6)
    second = [p.probabilities for p in train.predict(model, images())]
    np.testing.assert_allclose(second, first, atol=1e-6)


def test_probabilities_of_a_tensor_elsewhere_are_refused() -> None:
    model = unet("cuda")
    given = vg.Tensor(images())
    assert model.predict_proba(given.to("cuda")).shape == (3, 8, 8, 3)
    with pytest.raises(TypeError, match=r"on 'cpu' but .* on 'cuda'"):
        model.predict_proba(given)


def test_a_summary_says_the_same_and_leaves_the_model_where_it_is() -> None:
    model = unet("cuda", 3)
    arrays = [parameter.data for parameter in model.parameters()]
    assert str(model.summary((1, 8, 8, 8, 2))) == str(unet("cpu", 3).summary((1, 8, 8, 8, 2)))
    with pytest.raises(ValueError, match="channels"):
        model.summary((1, 8, 8, 8, 5))
    assert all(p.data is a for p, a in zip(model.parameters(), arrays, strict=True))


def test_weights_go_to_pytorch_and_back() -> None:
    model, other = unet("cuda"), unet("cpu")
    state = interop.torch.to_torch_state_dict(model)
    expected = interop.torch.to_torch_state_dict(other)
    assert {k: v.tobytes() for k, v in state.items()} == {
        k: v.tobytes() for k, v in expected.items()
    }
    changed = {name: array + 1 for name, array in state.items()}
    assert interop.torch.load_state_dict(model, changed).complete
    again = interop.torch.to_torch_state_dict(model)
    assert all(again[name].tobytes() == changed[name].tobytes() for name in state)
    assert model.encoder[0].conv1.weight.device == "cuda"


def test_export_says_to_move_the_model(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match=r"the model is on 'cuda'.*\.to\(\"cpu\"\)"):
        interop.onnx.export(unet("cuda"), tmp_path / "m.onnx", (1, 8, 8, 2))


@pytest.mark.parametrize("compile", [False, True])
def test_a_label_that_is_no_class_ends_the_training(compile: bool) -> None:
    data = blobs()
    data[0].label[0, 0] = 7
    model = unet("cuda")
    optimizer = optim.SGD(model.parameters(), 0.1)
    learner = train.Learner(model, data, ops.cross_entropy, optimizer, compile=compile)
    with pytest.raises(ValueError, match="cross_entropy: label 7"):
        learner.fit(2)


def test_a_loss_that_is_not_finite_names_step_and_images(tmp_path: Path) -> None:
    def poisoned(sample: Sample, rng: np.random.Generator) -> Sample:
        if learner.epoch == 1 and sample.name == "7":
            return Sample(sample.image * np.float32("nan"), sample.label, sample.case, sample.name)
        return sample

    learner = make_learner([train.Checkpoint(tmp_path)], device="cuda", compile=True)
    learner.loader.augment = poisoned
    with pytest.raises(train.NonFiniteError, match=r"epoch 2.*patient_3 \(7\)"):
        learner.fit(3)
    before = (tmp_path / "last.ckpt.safetensors").read_bytes()
    learner.model.norm.running_mean.fill(np.inf)
    with pytest.raises(train.NonFiniteError, match=r"norm\.running_mean is no longer finite"):
        learner.callbacks[0].on_epoch_end(learner)
    assert (tmp_path / "last.ckpt.safetensors").read_bytes() == before

"""Datasets, intensities, splits and sampling, on files made here."""

from __future__ import annotations

import numpy as np
import pytest

from sample_files import AFFINE, write_nifti, write_png
from voxelgrad.data import (
    ArrayDataset,
    Compose,
    NiftiPairs,
    RandomPatch,
    Sample,
    SliceFolder,
    Standardise,
    blend_windows,
    gaussian_weights,
    k_fold_by_patient,
    open_folder,
    patient_of,
    read_image,
    recognise,
    split_by_names,
    split_by_patient,
    window_starts,
)


@pytest.fixture
def slices(tmp_path):
    """Three cases of four slices, two of them of one patient."""
    rng = np.random.default_rng(0)
    for case in ("P_1_20010101", "P_1_20020202", "P_2_20010101"):
        for k in (1, 2, 9, 10):
            image = rng.integers(0, 255, size=(12, 10, 3), dtype=np.uint8)
            write_png(tmp_path / case / f"{case}_{k}.png", image)
            write_png(tmp_path / case / f"{case}_{k}_mask.png", image[..., 0] > 200)
    return tmp_path


@pytest.fixture
def volumes(tmp_path):
    """Two cases of two modalities with labels 0, 1, 2 and 4."""
    rng = np.random.default_rng(0)
    for case in ("c1", "c2"):
        for name in ("flair", "t1ce"):
            data = rng.normal(100, 20, size=(8, 7, 6)).astype(np.float32)
            write_nifti(tmp_path / case / f"{case}_{name}.nii.gz", data)
        label = rng.choice([0, 1, 2, 4], size=(8, 7, 6)).astype(np.uint8)
        write_nifti(tmp_path / case / f"{case}_seg.nii.gz", label)
    return tmp_path


class TestSliceFolder:
    def test_slices_are_listed_by_case_and_number(self, slices):
        data = SliceFolder(slices, standardise=None)
        assert len(data) == 12
        assert [name.rsplit("_", 1)[1] for name in data.names[:4]] == ["1", "2", "9", "10"]
        assert data.cases[0] == data.cases[4] == "P_1"
        assert data.cases[8] == "P_2"
        assert data.volumes[0] != data.volumes[4]
        sample = data[3]
        assert np.array_equal(sample.image, read_image(data.paths[3]).data)
        assert np.array_equal(sample.label, sample.image[..., 0] > 200)

    def test_missing_masks_are_named(self, slices):
        (slices / "P_2_20010101" / "P_2_20010101_9_mask.png").unlink()
        with pytest.raises(ValueError, match=r"1 of 12 slices have no mask: .*P_2_20010101_9\.png"):
            SliceFolder(slices)
        assert SliceFolder(slices, masks=False)[0].label is None

    def test_images_and_masks_may_lie_in_two_folders(self, tmp_path):
        for name in ("a_1", "a_2", "b_1", "7"):
            write_png(tmp_path / "images" / f"{name}.png", np.ones((4, 4), np.uint8))
            write_png(tmp_path / "label" / f"{name}.png", np.eye(4, dtype=bool))
        data = open_folder(tmp_path)
        assert recognise(tmp_path).has_labels
        assert list(data.cases) == ["7", "a", "a", "b"]
        assert np.array_equal(data[0].label, np.eye(4))
        (tmp_path / "label" / "a_2.png").unlink()
        with pytest.raises(ValueError, match=r"images/a_2\.png.*label/a_2\.png"):
            open_folder(tmp_path)

    def test_masks_without_slice_are_named(self, slices):
        (slices / "P_2_20010101" / "P_2_20010101_9.png").unlink()
        with pytest.raises(ValueError, match=r"1 masks have no slice: .*P_2_20010101_9_mask"):
            SliceFolder(slices)

    def test_a_mask_of_another_size_is_named(self, slices):
        path = slices / "P_2_20010101" / "P_2_20010101_1_mask.png"
        write_png(path, np.zeros((10, 12), bool))
        data = SliceFolder(slices)
        with pytest.raises(ValueError, match=r"_1_mask\.png.*\(10, 12\), its image \(12, 10\)"):
            data[8]

    def test_slices_of_one_case_must_have_one_shape(self, slices):
        write_png(slices / "P_2_20010101" / "P_2_20010101_2.png", np.zeros((12, 11, 3), np.uint8))
        with pytest.raises(ValueError, match=r"_2\.png: slice has shape \(12, 11, 3\)"):
            SliceFolder(slices)[8]

    def test_an_empty_or_missing_folder_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="no slices found"):
            SliceFolder(tmp_path)
        with pytest.raises(ValueError, match="no such folder"):
            SliceFolder(tmp_path / "no")

    def test_volumes_are_standardised_as_a_whole(self, slices):
        data = SliceFolder(slices, Standardise(clip=None, foreground=False))
        volume = np.stack([data[i].image for i in range(4)])
        np.testing.assert_allclose(volume.mean(axis=(0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(volume.std(axis=(0, 1, 2)), 1, rtol=1e-5)
        assert abs(data[0].image.mean()) > 1e-4


class TestNiftiPairs:
    def test_modalities_become_channels_in_the_order_given(self, volumes):
        data = NiftiPairs(volumes, ("*_t1ce*", "*_flair*"), "*_seg*", standardise=None)
        assert len(data) == 2
        sample = data[1]
        assert (sample.case, sample.name) == ("c2", "c2")
        t1ce = read_image(volumes / "c2" / "c2_t1ce.nii.gz")
        assert np.array_equal(sample.image[..., :1], t1ce.data)
        np.testing.assert_allclose(sample.affine, AFFINE)
        assert np.array_equal(data.reference(1).affine, sample.affine)
        assert set(np.unique(sample.label)) == {0, 1, 2, 4}

    def test_labels_can_be_renamed(self, volumes):
        data = NiftiPairs(volumes, ("*_flair*",), "*_seg*", label_map={4: 3, 2: 0})
        assert set(np.unique(data[0].label)) == {0, 1, 3}

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_slices_are_cut_along_an_axis(self, volumes, axis):
        whole = NiftiPairs(volumes, ("*_flair*",), "*_seg*")
        cut = NiftiPairs(volumes, ("*_flair*",), "*_seg*", mode="slices", axis=axis)
        length = (8, 7, 6)[axis]
        assert len(cut) == 2 * length
        assert len(set(cut.names)) == len(cut)
        assert np.array_equal(cut[length + 2].image, whole[1].image.take(2, axis=axis))
        assert np.array_equal(cut[length + 2].label, whole[1].label.take(2, axis=axis))
        assert cut[length + 2].image.flags.c_contiguous

    def test_empty_slices_can_be_left_out(self, tmp_path):
        data = np.zeros((4, 4, 5), np.float32)
        data[1, 1, 2:4] = 1
        write_nifti(tmp_path / "c" / "t1.nii", data)
        cut = NiftiPairs(tmp_path, ("t1.nii",), mode="slices", skip_empty=True)
        assert cut.names == ["c_2", "c_3"]

    def test_visits_in_one_folder_are_samples_of_one_case(self, tmp_path):
        for visit in ("Pre", "Post"):
            write_nifti(tmp_path / "01" / f"{visit}_T1.nii", np.ones((3, 3, 3), np.float32))
            write_nifti(tmp_path / "01" / f"{visit}_Mask.nii", np.ones((3, 3, 3), np.uint8))
        data = open_folder(tmp_path, mode="volumes")
        assert data.names == ["01/Post", "01/Pre"]
        assert list(data.cases) == ["01", "01"]

    def test_few_volumes_in_memory_give_the_same_samples(self, volumes):
        data = NiftiPairs(volumes, ("*_flair*",), mode="slices", volumes_in_memory=1)
        first = data[0].image
        data[7]
        assert np.array_equal(data[0].image, first)

    def test_a_missing_file_is_named(self, volumes):
        (volumes / "c2" / "c2_t1ce.nii.gz").unlink()
        with pytest.raises(ValueError, match=r"c2: no file fits \['\*_t1ce\*'\]"):
            NiftiPairs(volumes, ("*_t1ce*", "*_flair*"), "*_seg*")

    def test_a_pattern_that_fits_twice_is_refused(self, volumes):
        with pytest.raises(ValueError, match=r"c1_flair.*c1_seg.*both fit '\*'"):
            NiftiPairs(volumes, ("*",))

    @pytest.mark.parametrize(
        ("shape", "affine", "message"),
        [((8, 7, 5), AFFINE, "one grid"), ((8, 7, 6), AFFINE + 5 * np.eye(4, k=3), "places it")],
    )
    def test_files_on_different_grids_are_named(self, volumes, shape, affine, message):
        write_nifti(volumes / "c1" / "c1_seg.nii.gz", np.zeros(shape, np.uint8), affine)
        data = NiftiPairs(volumes, ("*_flair*",), "*_seg*")
        with pytest.raises(ValueError, match=f"c1_seg.*{message}"):
            data[0]


class TestRecognise:
    def test_png_slices(self, slices):
        kind = recognise(slices)
        assert (kind.kind, kind.has_labels) == ("slices", True)
        assert len(open_folder(slices)) == 12

    def test_nifti_cases_with_modalities_in_the_usual_order(self, volumes):
        kind = recognise(volumes)
        assert kind.images == ("*_t1ce.nii.gz", "*_flair.nii.gz")
        assert kind.label == "*_seg.nii.gz"
        assert len(open_folder(volumes, mode="slices")) == 12

    def test_nothing_known_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match="neither PNG slices nor NIfTI cases"):
            recognise(tmp_path)

    def test_labels_that_are_not_there_are_asked_for(self, tmp_path):
        write_nifti(tmp_path / "c" / "t1.nii", np.ones((3, 3, 3), np.float32))
        with pytest.raises(ValueError, match="without a label file"):
            open_folder(tmp_path)
        assert open_folder(tmp_path, labels=False, mode="volumes")[0].label is None


class TestArrayDataset:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"images": []}, "images is empty"),
            ({"images": np.zeros((2, 4, 4, 1)), "labels": [0]}, "labels has 1 entries for 2"),
            ({"images": np.full((1, 4, 4, 1), np.nan)}, r"images\[0\]: image holds 16"),
            ({"images": np.zeros((1, 4, 4, 1)), "labels": np.zeros((1, 4, 5))}, r"labels\[0\]"),
            ({"images": np.zeros((1, 0, 4, 1))}, "no axis may be empty"),
            ({"images": np.zeros((1, 4))}, "channels"),
        ],
    )
    def test_what_does_not_fit_is_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ArrayDataset(**arguments)


class TestStandardise:
    def test_the_foreground_has_mean_0_and_variance_1(self):
        rng = np.random.default_rng(0)
        image = np.zeros((40, 40, 2), np.float32)
        image[10:30, 10:30] = rng.normal([100, 1000], [10, 200], size=(20, 20, 2))
        result = Standardise(clip=None)(image)
        inside = result[10:30, 10:30]
        np.testing.assert_allclose(inside.mean(axis=(0, 1)), 0, atol=1e-5)
        np.testing.assert_allclose(inside.std(axis=(0, 1)), 1, rtol=1e-5)

    def test_the_unit_of_the_scanner_does_not_matter(self):
        image = np.abs(np.random.default_rng(0).normal(size=(30, 30, 1))).astype(np.float32)
        np.testing.assert_allclose(Standardise()(image), Standardise()(image * 512), atol=1e-5)

    def test_clipping_tames_outliers(self):
        image = np.random.default_rng(0).uniform(1, 2, size=(50, 50, 1)).astype(np.float32)
        image[0, 0] = 1e6
        assert Standardise(clip=(1, 99))(image).max() < 5

    def test_a_constant_image_becomes_zero(self):
        assert not Standardise()(np.full((4, 4, 1), 7, np.float32)).any()

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match="clip is"):
            Standardise(clip=(99, 1))
        with pytest.raises(ValueError, match="per is 'patient'"):
            Standardise(per="patient")


class TestSplits:
    data = ArrayDataset(np.zeros((24, 2, 2, 1)), cases=[f"p{i % 8}" for i in range(24)])

    def test_no_patient_is_on_both_sides(self):
        for seed in range(5):
            train, held_out = split_by_patient(self.data, held_out=3, seed=seed)
            assert len(train) + len(held_out) == 24
            assert len(set(held_out.cases)) == 3
            assert set(train.cases).isdisjoint(held_out.cases)

    def test_the_order_of_samples_plays_no_part(self):
        turned = ArrayDataset(np.zeros((24, 2, 2, 1)), cases=list(self.data.cases)[::-1])
        first, second = (split_by_patient(d, 3, seed=1)[1] for d in (self.data, turned))
        assert set(first.cases) == set(second.cases)

    def test_seeds_choose_other_patients(self):
        chosen = {frozenset(split_by_patient(self.data, 3, seed)[1].cases) for seed in range(6)}
        assert len(chosen) > 3

    def test_each_patient_is_held_out_once(self):
        folds = k_fold_by_patient(self.data, folds=3, seed=0)
        held_out = [case for _, fold in folds for case in sorted(set(fold.cases))]
        assert sorted(held_out) == sorted(set(self.data.cases))
        assert sorted(len(set(fold.cases)) for _, fold in folds) == [2, 3, 3]

    def test_patients_can_be_named(self):
        train, held_out = split_by_names(self.data, ["p2"])
        assert set(held_out.cases) == {"p2"}
        assert len(train) == 21
        with pytest.raises(ValueError, match="p9"):
            split_by_names(self.data, ["p9"])

    @pytest.mark.parametrize("held_out", [0, 8, -1])
    def test_both_sides_need_patients(self, held_out):
        with pytest.raises(ValueError, match=f"held_out is {held_out} of 8 patients"):
            split_by_patient(self.data, held_out)

    def test_folds_need_patients(self):
        with pytest.raises(ValueError, match="folds is 9 for 8 patients"):
            k_fold_by_patient(self.data, 9)

    def test_dates_are_no_part_of_a_patient(self):
        assert patient_of("TCGA_CS_4941_19960909") == "TCGA_CS_4941"
        assert patient_of("brats_2013_pat0003_1") == "brats_2013_pat0003_1"


class TestSampling:
    @staticmethod
    def sample():
        label = np.zeros((20, 18, 16), np.int64)
        label[3, 4, 5], label[15, 2, 14] = 1, 2
        image = label[..., None].astype(np.float32) - 1
        return Sample(image, label, "p", "p")

    def test_patches_around_the_foreground_hold_it(self):
        patch = RandomPatch((6, 6, 6), foreground_share=1.0)
        found = set()
        for seed in range(20):
            cut = patch(self.sample(), np.random.default_rng(seed))
            assert cut.image.shape == (6, 6, 6, 1)
            assert np.array_equal(cut.image[..., 0] + 1, cut.label)
            assert cut.label.any()
            found |= set(np.unique(cut.label))
        assert found == {0, 1, 2}

    def test_patches_elsewhere_lie_within_the_image(self):
        patch = RandomPatch((20, 6, 6), foreground_share=0.0)
        empty = sum(
            not patch(self.sample(), np.random.default_rng(seed)).label.any() for seed in range(20)
        )
        assert empty > 5

    def test_small_images_are_padded_in_the_middle(self):
        cut = RandomPatch((24, 18, 16))(self.sample(), np.random.default_rng(0))
        assert np.array_equal(cut.label[2:22], self.sample().label)
        assert (cut.image[:2] == -1).all()
        assert not cut.label[22:].any()

    def test_transforms_follow_each_other(self):
        both = Compose((RandomPatch((8, 8, 8)), RandomPatch((4, 4, 4))))
        assert both(self.sample(), np.random.default_rng(0)).label.shape == (4, 4, 4)

    def test_patches_of_another_rank_are_refused(self):
        with pytest.raises(ValueError, match="size"):
            RandomPatch((4, 4))(self.sample(), np.random.default_rng(0))
        with pytest.raises(ValueError, match="size"):
            RandomPatch((0, 4))

    @pytest.mark.parametrize("shape", [(10,), (17, 9), (16, 8, 23)])
    @pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
    def test_windows_cover_everything_and_overlap(self, shape, overlap):
        window = (8,) * len(shape)
        starts = window_starts(shape, window, overlap)
        covered = np.zeros(shape, int)
        for start in starts:
            place = tuple(slice(s, s + 8) for s in start)
            assert covered[place].shape == window
            covered[place] += 1
        assert covered.min() >= 1
        for axis in range(len(shape)):
            steps = np.diff(sorted({start[axis] for start in starts}))
            assert (steps <= 8 * (1 - overlap) + 0.5).all()

    def test_blended_windows_give_the_whole_back(self):
        whole = np.random.default_rng(0).normal(size=(17, 12, 3)).astype(np.float32)
        weights = gaussian_weights((8, 8))
        starts = window_starts((17, 12), (8, 8))
        windows = ((s, whole[s[0] : s[0] + 8, s[1] : s[1] + 8]) for s in starts)
        np.testing.assert_allclose(blend_windows((17, 12), windows, weights), whole, atol=1e-5)

    def test_weights_are_largest_in_the_middle_and_never_zero(self):
        weights = gaussian_weights((9, 9, 9))
        assert weights.argmax() == weights.size // 2
        assert weights.max() == 1
        assert weights.min() > 0

    def test_uncovered_voxels_are_an_error(self):
        window = iter([((0,), np.ones((2, 1), np.float32))])
        with pytest.raises(ValueError, match="uncovered"):
            blend_windows((3,), window, gaussian_weights((2,)))

    def test_a_window_larger_than_the_image_is_refused(self):
        with pytest.raises(ValueError, match="does not fit"):
            window_starts((4, 4), (5, 4))

"""Reading images and masks, splitting them by patient, augmenting and batching them."""

from __future__ import annotations

from voxelgrad.data.augmentation import Augment
from voxelgrad.data.components import largest_component
from voxelgrad.data.datasets import ArrayDataset, Cached, Dataset, Sample, Subset, patient_of
from voxelgrad.data.intensity import Standardise
from voxelgrad.data.loader import Batch, DataLoader
from voxelgrad.data.nifti_pairs import NiftiPairs
from voxelgrad.data.phantom import CLASSES as PHANTOM_CLASSES
from voxelgrad.data.phantom import MODALITIES as PHANTOM_MODALITIES
from voxelgrad.data.phantom import PhantomDataset, phantom
from voxelgrad.data.readers import Volume, read_image, read_label
from voxelgrad.data.sampling import (
    Compose,
    RandomPatch,
    blend_windows,
    gaussian_weights,
    window_starts,
)
from voxelgrad.data.scan import open_folder, recognise
from voxelgrad.data.slice_folder import SliceFolder
from voxelgrad.data.splits import k_fold_by_patient, split_by_names, split_by_patient
from voxelgrad.data.writers import write_mask_nifti, write_mask_png

__all__ = [
    "PHANTOM_CLASSES",
    "PHANTOM_MODALITIES",
    "ArrayDataset",
    "Augment",
    "Batch",
    "Cached",
    "Compose",
    "DataLoader",
    "Dataset",
    "NiftiPairs",
    "PhantomDataset",
    "RandomPatch",
    "Sample",
    "SliceFolder",
    "Standardise",
    "Subset",
    "Volume",
    "blend_windows",
    "gaussian_weights",
    "k_fold_by_patient",
    "largest_component",
    "open_folder",
    "patient_of",
    "phantom",
    "read_image",
    "read_label",
    "recognise",
    "split_by_names",
    "split_by_patient",
    "window_starts",
    "write_mask_nifti",
    "write_mask_png",
]

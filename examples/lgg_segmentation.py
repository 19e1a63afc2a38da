"""Segment lower-grade gliomas in ten lines: python examples/lgg_segmentation.py FOLDER

FOLDER holds <case>/<case>_<slice>.png with <case>/<case>_<slice>_mask.png.
"""

import sys

import voxelgrad as vg
from voxelgrad.data import Augment, DataLoader, SliceFolder, split_by_patient
from voxelgrad.train import Dice, Learner, ProgressBar

vg.manual_seed(0)
train_set, held_out = split_by_patient(SliceFolder(sys.argv[1]), held_out=5)
model = vg.models.UNet(in_channels=3, out_channels=2, features=(16, 32, 64, 128, 256))
loader = DataLoader(train_set, batch_size=8, shuffle=True, augment=Augment(), cache=True)
optimizer = vg.optim.Adam(model.parameters(), lr=1e-3)
schedule = vg.optim.CosineLR(optimizer, total_steps=10 * len(loader))
dice = Dice()
learner = Learner(
    model, loader, vg.ops.dice_ce_loss, optimizer, [dice], [ProgressBar()], schedule=schedule
)
learner.fit(epochs=10)
print(learner.evaluate(held_out))
print(dice.per_case())
vg.save("lgg.safetensors", model)

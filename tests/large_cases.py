"""Cases large enough that the work is split among threads; a part of ``op_cases``."""

from __future__ import annotations

from conv_cases import conv_case
from op_case import Arg, OpCase

AFFINE = ("weight", "bias")


def large_cases() -> list[OpCase]:
    image, volume = (2, 61, 67), (1, 19, 23, 29)
    channels = (Arg((24,)), Arg((24,)))
    statistics = (Arg((24,), "statistic"), Arg((24,), "spread"))
    activations = Arg((2, 97, 101, 24))
    logits, labels = Arg((2, 151, 157, 4)), Arg((2, 151, 157), "labels", 4, ignored=-100)
    return [
        conv_case("conv", image, (24, 40), (3, 3), padding=1),
        conv_case("conv", image, (24, 40), (1, 1)),
        conv_case("conv", image, (24, 40), (3, 3), stride=2, padding=1),
        conv_case("conv", image, (3, 33), (7, 7), stride=2, padding=3),
        conv_case("conv", image, (48, 48), (3, 3), padding=1, groups=48),
        conv_case("conv", image, (24, 48), (3, 3), dilation=2, groups=4),
        conv_case("conv", volume, (17, 24), (3, 3, 3), padding=1),
        conv_case("conv", (2, 9001), (8, 16), (5,), padding=2),
        conv_case("conv_transpose", image, (40, 24), (2, 2), stride=2),
        conv_case("conv_transpose", volume, (24, 16), (3, 3, 3), stride=2, padding=1),
        OpCase("linear", (Arg((701, 260)), Arg((129, 260)), Arg((129,)))),
        OpCase(
            "max_pool2d", (Arg((2, 97, 101, 24)),), {"kernel_size": 3, "stride": 2, "padding": 1}
        ),
        OpCase("avg_pool3d", (Arg((1, 29, 31, 33, 9)),), {"kernel_size": 2}),
        OpCase("adaptive_avg_pool2d", (activations,), {"output_size": (7, 5)}),
        OpCase("global_avg_pool", (activations,)),
        OpCase("batch_norm", (activations, *statistics, *channels), {"training": True}),
        OpCase("batch_norm", (activations, *statistics, *channels), {"training": False}),
        OpCase("instance_norm", (activations, *channels)),
        OpCase("group_norm", (activations, *channels), {"num_groups": 6}, keywords=AFFINE),
        OpCase(
            "layer_norm", (activations, *channels), {"normalized_shape": (24,)}, keywords=AFFINE
        ),
        OpCase("relu", (activations,)),
        OpCase("sigmoid", (activations,)),
        OpCase("add", (activations, Arg((24,)))),
        OpCase("mul", (activations, Arg((2, 1, 1, 24)))),
        OpCase("dropout", (activations,)),
        OpCase("softmax", (logits,)),
        OpCase("log_softmax", (logits,)),
        OpCase("concat", (activations, activations), {"axis": -1}, listed=True),
        OpCase(
            "pad",
            (activations,),
            {"pad_width": ((0, 0), (3, 2), (1, 1), (0, 0)), "mode": "reflect"},
        ),
        OpCase("crop", (activations,), {"start": (0, 3, 2, 0), "size": (2, 90, 97, 24)}),
        OpCase("transpose", (activations,), settings=(0, 3, 1, 2)),
        OpCase("sum", (activations,)),
        OpCase("mean", (activations,), {"axis": (0, 1, 2)}),
        OpCase("sum", (activations,), {"axis": -1}),
        OpCase("interpolate", (Arg((2, 47, 51, 24)),), {"scale_factor": 2, "mode": "linear"}),
        OpCase("interpolate", (Arg((2, 47, 51, 24)),), {"scale_factor": 2}),
        OpCase("cross_entropy", (logits, labels)),
        OpCase("focal_loss", (logits, labels)),
        OpCase("dice_loss", (logits, labels)),
        OpCase("binary_cross_entropy_with_logits", (logits, Arg(logits.shape, "unit"))),
        OpCase("mse_loss", (logits, Arg(logits.shape, "target"))),
    ]

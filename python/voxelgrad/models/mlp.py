"""The multilayer perceptron, with no hidden layer the perceptron or logistic regression."""

from __future__ import annotations

import math
from collections.abc import Sequence

from voxelgrad import nn
from voxelgrad.models.blocks import checked_features
from voxelgrad.models.model import Model, register
from voxelgrad.nn.arguments import at_least
from voxelgrad.tensor import Tensor


@register
class MLP(Model):
    """Linear layers with ReLU between them: (N, in_features) -> logits (N, num_classes).

    With ``hidden=()`` it is one linear layer, the perceptron; trained with cross-entropy that is
    logistic regression. Images are flattened first.

    Args:
        in_features: Numbers for each sample.
        num_classes: Outputs; 1 for a single logit.
        hidden: Sizes of the hidden layers, first to last.
        dropout: Probability of dropping a hidden value in training, at least 0 and below 1.

    Raises:
        ValueError: If a size or the probability is out of range.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.0,
    ) -> None:
        at_least("MLP", "in_features", in_features, 1)
        at_least("MLP", "num_classes", num_classes, 1)
        sizes = checked_features("MLP", "hidden", hidden, 0)
        super().__init__(
            in_features=in_features, num_classes=num_classes, hidden=sizes, dropout=dropout
        )
        self.in_features = in_features
        self.layers = nn.Sequential(nn.Flatten())
        for size in sizes:
            self.layers.append(nn.Linear(in_features, size))
            self.layers.append(nn.ReLU())
            if dropout:
                self.layers.append(nn.Dropout(dropout))
            in_features = size
        self.layers.append(nn.Linear(in_features, num_classes))

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits, (N, num_classes), of an input (N, ...) with in_features numbers each.

        Raises:
            ValueError: If the input has another number of features.
        """
        if input.ndim < 2 or math.prod(input.shape[1:]) != self.in_features:
            raise ValueError(
                f"MLP: input has shape {input.shape}; every sample must have in_features = "
                f"{self.in_features} numbers: (N, {self.in_features})"
            )
        return self.layers(input)

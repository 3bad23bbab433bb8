"""The float network as a whole: on landmarks, on crops, on both at once, or the weighted sum of two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from host_training.training import crop_network, landmark_network
from host_training.training.temperature import fit_temperature, negative_log_likelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.inputs import Inputs
    from host_training.training.crop_network import CropNetwork
    from host_training.training.layers import Layer

SHARES = np.linspace(0, 1, 41).round(3)
"""Shares of the crop network in a sum that are tried."""


@dataclass(frozen=True, slots=True)
class FloatNetwork:
    """A trained network; at least one of its parts is there."""

    layers: list[Layer] | None
    """On landmarks."""
    crop: CropNetwork | None
    """On crops, and on landmarks too if the fusion is early."""

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        dense = sum(layer.kernel.size + layer.bias.size for layer in self.layers or ())
        return dense + (self.crop.parameters if self.crop else 0)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """float32[N, C]."""
        parts = []
        if self.layers is not None:
            parts.append(landmark_network.logits(self.layers, inputs.vectors))
        if self.crop is not None and inputs.crops is not None:
            parts.append(crop_network.logits(self.crop, inputs))
        return sum(parts[1:], parts[0])

    def adjusted(self, frequency: NDArray[np.float32], power: float, temperature: float) -> FloatNetwork:
        """The network with adjusted logits (Menon et al. 2021): minus `power` times the log of each label's frequency.

        Args:
            frequency: float32[C], the labels' shares of the training rows.
            power: 0 changes nothing; 1 predicts as if all labels were equally frequent.
            temperature: by which the logits are divided to give probabilities.
        """
        # A label without rows is left as unlikely as the network finds it.
        log = np.log(np.where(frequency > 0, frequency, 1), dtype=np.float32)
        change = np.float32(-power * temperature) * (log - log.mean())
        if self.layers is not None:
            return FloatNetwork([*self.layers[:-1], self.layers[-1].shifted(change)], self.crop)
        return FloatNetwork(None, self.crop and replace(self.crop, last=self.crop.last.shifted(change)))


def fuse(layers: list[Layer], crop: CropNetwork, inputs: Inputs, label: NDArray[np.intp]) -> tuple[FloatNetwork, float]:
    """The weighted sum of two networks that has the lowest negative log-likelihood on the validation rows.

    Each is scaled by its own temperature first, so that a share of one half is the geometric mean of their predictions.

    Args:
        layers: the network on landmarks.
        crop: the network on crops.
        inputs: of the validation rows.
        label: int[N], of the validation rows.

    Returns:
        The sum, with the shares folded into the last layers; and the share of the crop network.
    """
    alone = FloatNetwork(layers, None).logits(inputs), FloatNetwork(None, crop).logits(inputs)
    temperatures = [fit_temperature(each, label) for each in alone]
    scaled = [each / np.float32(one) for each, one in zip(alone, temperatures, strict=True)]
    losses = []
    for share in SHARES.tolist():
        mixed = np.asarray((1 - share) * scaled[0] + share * scaled[1], np.float32)
        losses.append(negative_log_likelihood(mixed, label, fit_temperature(mixed, label)))
    share = float(SHARES[int(np.argmin(losses))])
    first, second = (1 - share) / temperatures[0], share / temperatures[1]
    mine, other = layers[-1].scaled(first), replace(crop, last=crop.last.scaled(second))
    return FloatNetwork([*layers[:-1], mine], other), share

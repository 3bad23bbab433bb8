"""A float network as a whole: the one on landmarks, the one on the crop (or both), or the sum of what two say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from host_training.training import crop_network, network
from host_training.training.temperature import fit_temperature, negative_log_likelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.inputs import Inputs
    from host_training.training.crop_network import CropNetwork
    from host_training.training.network import Layer

SHARES = np.linspace(0, 1, 41).round(3)
"""Shares of the crop's network that are considered."""


@dataclass(frozen=True, slots=True)
class Network:
    """A trained float network."""

    layers: list[Layer] | None
    """On the landmarks; None: it does not see them."""
    crop: CropNetwork | None
    """On the crop, and on the landmarks too where the fusion is early; None: it does not see it."""

    @property
    def parameters(self) -> int:
        """How many numbers it has learnt."""
        dense = sum(layer.kernel.size + layer.bias.size for layer in self.layers or ())
        return dense + (self.crop.parameters if self.crop else 0)

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """float32[N, C]."""
        said = []
        if self.layers is not None:
            said.append(network.logits(self.layers, inputs.vectors))
        if self.crop is not None and inputs.crops is not None:
            said.append(crop_network.logits(self.crop, inputs))
        return sum(said[1:], said[0])

    def adjusted(self, frequency: NDArray[np.float32], power: float, temperature: float) -> Network:
        """The same with `power` times the log of each label's frequency taken off its logit (Menon et al. 2021).

        Args:
            frequency: float32[C], the labels' shares of the training rows.
            power: 0 changes nothing; 1 answers as if all labels were as frequent as each other.
            temperature: the one that makes probabilities of the logits.
        """
        # A label that no row has stays as unlikely as the network thinks it.
        log = np.log(np.where(frequency > 0, frequency, 1), dtype=np.float32)
        change = np.float32(-power * temperature) * (log - log.mean())
        if self.layers is not None:
            return Network([*self.layers[:-1], self.layers[-1].shifted(change)], self.crop)
        return Network(None, self.crop and replace(self.crop, last=self.crop.last.shifted(change)))


def fuse(layers: list[Layer], crop: CropNetwork, inputs: Inputs, label: NDArray[np.intp]) -> tuple[Network, float]:
    """The weighted sum of two networks that surprises least on the validation faces.

    Both are put to their own temperature first, so that a share of one half is the geometric mean of what they say.

    Args:
        layers: the network on the landmarks.
        crop: the one on the crop.
        inputs: the validation faces.
        label: int[N], theirs.

    Returns:
        The sum, the shares worked into the last layers; and the share of the crop's network.
    """
    alone = Network(layers, None).logits(inputs), Network(None, crop).logits(inputs)
    temperatures = [fit_temperature(each, label) for each in alone]
    said = [each / np.float32(one) for each, one in zip(alone, temperatures, strict=True)]
    surprise = []
    for share in SHARES.tolist():
        mixed = np.asarray((1 - share) * said[0] + share * said[1], np.float32)
        surprise.append(negative_log_likelihood(mixed, label, fit_temperature(mixed, label)))
    share = float(SHARES[int(np.argmin(surprise))])
    first, second = (1 - share) / temperatures[0], share / temperatures[1]
    mine, other = layers[-1].scaled(first), replace(crop, last=crop.last.scaled(second))
    return Network([*layers[:-1], mine], other), share

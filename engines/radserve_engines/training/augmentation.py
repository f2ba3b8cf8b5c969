"""What a training image may look like instead: moved, zoomed, turned, relit; never mirrored."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from radserve_engines.vision_tower import normalise_pixels


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Greatest change in each direction: radians, share of the side, share of the size, of the contrast range."""

    turn: float = 0.15
    shift: float = 0.1
    zoom: float = 0.2
    stretch: float = 0.1
    contrast: float = 0.25
    brightness: float = 0.25
    noise: float = 0.1


def augment(images: torch.Tensor, generator: torch.Generator, how: Augmentation) -> torch.Tensor:
    """Change each of the normalised `images` [images, 3, height, width] a little; left stays left.

    The `generator` is the CPU's, so that the same is drawn on every device.
    """
    count = images.shape[0]
    draw = (torch.rand(count, 7, generator=generator) * 2 - 1).to(images.device)
    angle = draw[:, 0] * how.turn
    wide = (1 + draw[:, 1] * how.zoom) * (1 + draw[:, 2] * how.stretch)
    high = (1 + draw[:, 1] * how.zoom) / (1 + draw[:, 2] * how.stretch)
    across, down = draw[:, 3] * how.shift, draw[:, 4] * how.shift
    rows = (wide * angle.cos(), -wide * angle.sin(), across, high * angle.sin(), high * angle.cos(), down)
    grid = functional.affine_grid(
        torch.stack(rows, dim=1).view(count, 2, 3), list(images.shape), align_corners=False
    )
    black = normalise_pixels(torch.zeros(1, 1, 1, 3, dtype=torch.uint8, device=images.device))
    moved = functional.grid_sample(images - black, grid, align_corners=False)
    contrast = (1 + draw[:, 5] * how.contrast).view(-1, 1, 1, 1)
    brightness = (draw[:, 6] * how.brightness).view(-1, 1, 1, 1)
    strength = torch.rand(count, 1, 1, 1, generator=generator) * how.noise
    # One grain for the three channels: the pictures are grey.
    grain = torch.randn(count, 1, *images.shape[2:], generator=generator) * strength
    return moved * contrast + black + brightness + grain.to(images.device)

"""BC-ResNet-1 (Kim et al. 2021): the convolutional control, which looks ahead and cannot stream."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from resonance.models.stem import BroadcastBlock

#: Frames it looks at.
SECOND = 62
DROPOUT = 0.1


class PaddedBlock(BroadcastBlock):
    """A broadcasted residual block that sees as much of the future as of the past."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[batch, before, bands, frames] → [batch, after, bands / stride, frames]."""
        spread = self.norm(self.over_bands(self.change(x)))
        side = self.past_frames // 2
        return self.joined(x, spread, F.pad(spread.mean(2), (side, side)))


class BCResNet(nn.Module):
    """40 bands to class scores, about 9,200 parameters besides the classes' own."""

    #: (channels, stride of the bands, dilation, blocks) of each stage.
    STAGES = ((8, 1, 1, 2), (12, 2, 2, 2), (16, 2, 4, 4), (20, 1, 8, 4))

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(1, 16, 5, (2, 1), 2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        ]
        before = 16
        for channels, stride, dilation, blocks in self.STAGES:
            for number in range(blocks):
                here = stride if number == 0 else 1
                layers.append(PaddedBlock(before, channels, here, dilation, DROPOUT))
                before = channels
        self.body = nn.Sequential(*layers)
        self.gather = nn.Sequential(
            nn.Conv2d(before, before, 5, padding=(0, 2), groups=before, bias=False),
            nn.Conv2d(before, 32, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, classes)

    def forward(self, window: Tensor) -> Tensor:
        """Normalised log levels [batch, frames, 40] → [batch, classes] of the last second."""
        window = window[:, -SECOND:]
        window = window - window.mean((1, 2), keepdim=True)
        x = self.gather(self.body(window.transpose(1, 2)[:, None]))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]

"""The authors' training recipe, rebuilt from its description: what a user would otherwise run.

Each sample goes through PIL and torchvision's transforms in one of two loader processes; every step
waits for the loss and the hits (`.item()`); evaluation takes batches of 100 likewise.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import (
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    ToTensor,
)

from lrd_core.datasets.images import ImageData

BATCH, TEST_BATCH, LOADERS = 128, 100, 2


class Samples(Dataset[tuple[Tensor, int]]):
    """One image at a time, through PIL, as torchvision's data sets give it."""

    def __init__(self, data: ImageData, train: bool) -> None:
        images = data.train_images if train else data.test_images
        self.labels = data.train_labels if train else data.test_labels
        self.arrays = images.permute(0, 2, 3, 1).squeeze(3).numpy()
        steps = [ToTensor(), Normalize(data.mean, data.std)]
        if train and data.crop_and_flip:
            steps = [RandomCrop(32, padding=4), RandomHorizontalFlip(), *steps]
        self.transform = Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[place])), int(self.labels[place])


def loader(data: ImageData, *, train: bool) -> DataLoader[tuple[Tensor, int]]:
    """Batches by two processes."""
    size = BATCH if train else TEST_BATCH
    return DataLoader(Samples(data, train), size, shuffle=train, num_workers=LOADERS)


def train_epoch(
    model: nn.Module, optimizer: Optimizer, data: ImageData, device: str | torch.device = "cpu"
) -> tuple[float, float]:
    """Mean loss and accuracy over the epoch."""
    model.train()
    loss_sum, hits, seen = 0.0, 0, 0
    for batch in loader(data, train=True):
        images, labels = (part.to(device) for part in batch)
        optimizer.zero_grad()
        outputs = model(images)
        loss = F.cross_entropy(outputs, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        hits += outputs.max(1)[1].eq(labels).sum().item()
        seen += len(labels)
    return loss_sum / seen, hits / seen


def evaluate(model: nn.Module, data: ImageData, device: str | torch.device = "cpu") -> float:
    """Accuracy on the evaluation part."""
    model.eval()
    hits, seen = 0, 0
    with torch.no_grad():
        for batch in loader(data, train=False):
            images, labels = (part.to(device) for part in batch)
            hits += model(images).max(1)[1].eq(labels).sum().item()
            seen += len(labels)
    return hits / seen

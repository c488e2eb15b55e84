"""Trains the fully connected digits model and writes the files beside this one. See README.md."""
import os
import sys

from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(here))
import digits  # noqa: E402

digits.seed()
net, right, total = digits.train(digits.Scaled(nn.Sequential(
    nn.Flatten(),
    nn.Linear(64, 96), nn.LayerNorm(96), nn.GELU(),
    nn.Linear(96, 96), nn.LayerNorm(96), nn.GELU(),
    nn.Linear(96, 10),
)), epochs=40)
print(f"held out: {right}/{total} right, {100 * right / total:.2f}%")
digits.export(net, here)

"""Trains the convolutional digits model and writes the files beside this one. See README.md."""
import os
import sys

from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(here))
import digits  # noqa: E402


def conv(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(1, 16)
        self.res1, self.res2 = conv(16, 16), conv(16, 16)
        self.pool = nn.MaxPool2d(2)
        self.wide = conv(16, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (x + self.res2(self.res1(x).relu())).relu()
        x = self.wide(self.pool(x)).relu()
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


digits.seed()
net, right, total = digits.train(digits.Scaled(Net()), epochs=40)
print(f"held out: {right}/{total} right, {100 * right / total:.2f}%")
digits.export(net, here)

"""What the two digits examples share: data, training, export.

The data are scikit-learn's 1,797 handwritten digits of 8x8 pixels with values 0..16, part of the
package (nothing is downloaded). Everything is seeded and runs on one thread, so that a second run on
the same machine and package versions writes the same model.
"""
import os

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


class Scaled(nn.Module):
    """Normalisation as part of the model: callers pass raw pixels, 0..16."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x / 16.0)


def data():
    """Training and held-out images f32[N,1,8,8] and labels i64[N]; a quarter is held out."""
    d = load_digits()
    x = d.images.astype(np.float32).reshape(-1, 1, 8, 8)
    y = d.target.astype(np.int64)
    return train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)


def train(net, epochs, batch=64):
    """Trains net and returns it in evaluation mode with its accuracy on the held-out images."""
    xtr, xte, ytr, yte = (torch.from_numpy(a) for a in data())
    opt = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * ((len(xtr) + batch - 1) // batch)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 3e-3, total_steps=steps)
    net.train()
    for _ in range(epochs):
        for idx in torch.randperm(len(xtr)).split(batch):
            opt.zero_grad()
            nn.functional.cross_entropy(net(xtr[idx]), ytr[idx]).backward()
            opt.step()
            sched.step()
    net.eval()
    with torch.no_grad():
        right = (net(xte).argmax(1) == yte).sum().item()
    return net, right, len(yte)


def seed():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def write_pb(path, name, a):
    with open(path, "wb") as f:
        f.write(numpy_helper.from_array(a, name).SerializeToString())


def export(net, folder):
    """Writes model.onnx, the sample images and torch's own answers for them into folder."""
    _, xte, _, yte = data()
    x, y = np.ascontiguousarray(xte[:8]), yte[:8]
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(
        net, torch.from_numpy(x), path, opset_version=13,
        input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        # As trained: batch norms stay in the graph for nnc to fold.
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    onnx.checker.check_model(onnx.load(path))
    with torch.no_grad():
        out = net(torch.from_numpy(x)).numpy()
    np.save(os.path.join(folder, "images.npy"), x)
    np.save(os.path.join(folder, "labels.npy"), y)
    np.save(os.path.join(folder, "input.npy"), x[:1])
    case = os.path.join(folder, "test_data_set_0")
    os.makedirs(case, exist_ok=True)
    write_pb(os.path.join(case, "input_0.pb"), "image", x)
    write_pb(os.path.join(case, "output_0.pb"), "logits", out)
    print("labels   ", y.tolist())
    print("predicted", out.argmax(1).tolist())

"""Writes crates/mtids-layers/tests/layers/fixtures/batch_norm.json: what PyTorch's batch norm, and residual stages built on it, answer.

    python3 -m venv .venv && .venv/bin/pip install -r tests/parity/model_requirements.txt
    .venv/bin/python tests/parity/make_batch_norm_fixtures.py

Inputs and parameters are not stored: both sides compute them from the same formula (`numbers`). Two passes in training mode, with the gradients of
the second and the running statistics behind it, then a pass in evaluation mode with its gradients. Of each tensor the file holds its sum, its sum of
squares and some of its entries. All in float64.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

ENTRIES = 5
FIXTURE = pathlib.Path(__file__).parents[2] / "crates/mtids-layers/tests/layers/fixtures/batch_norm.json"


def numbers(shape, seed):
    """Numbers in (-1, 1), as `tensor` of the Rust tests."""
    n = np.arange(int(np.prod(shape)), dtype=np.float64)
    values = np.modf((n * 7919 + seed * 104_729 + 13) * 0.618_033_988_75)[0] * 2 - 1
    return torch.from_numpy(values.reshape(shape))


def digest(x):
    x = x.detach().flatten()
    step = max(1, len(x) // ENTRIES)
    return [x.sum().item(), x.square().sum().item(), *x[::step][:ENTRIES].tolist()]


class Stages:
    """Residual stages written from their formula on PyTorch's functions; `P` maps names to parameters."""

    def __init__(self, axes, widths, blocks, stem_stride, depth_halved_from, channels):
        self.axes, self.widths, self.blocks = axes, widths, blocks
        self.stem_stride, self.depth_halved_from = stem_stride, depth_halved_from
        self.shapes, self.strides, self.running = {}, {}, {}
        self.layer("body.stem", channels, widths[0], 3, self.stride(stem_stride, depth_halved_from == 0))
        inputs = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks[stage]):
                halves = stage > 0 and block == 0
                stride = self.stride(2 if halves else 1, stage >= depth_halved_from)
                name = f"body.stage{stage}.block{block}"
                self.layer(name + ".first", inputs, width, 3, stride)
                self.layer(name + ".second", width, width, 3, [1] * axes)
                if inputs != width or max(stride) > 1:
                    self.layer(name + ".shortcut", inputs, width, 1, stride)
                inputs = width

    def stride(self, step, deep):
        return [step if deep else 1, step, step] if self.axes == 3 else [step, step]

    def layer(self, name, inputs, outputs, kernel, stride):
        self.shapes[name + ".conv.weight"] = [outputs, inputs] + [kernel] * self.axes
        self.shapes[name + ".norm.scale"] = self.shapes[name + ".norm.shift"] = [outputs]
        self.strides[name] = stride
        self.running[name] = (torch.zeros(outputs).double(), torch.ones(outputs).double())

    def conv_norm(self, P, name, x, training):
        weight = P[name + ".conv.weight"]
        convolution = F.conv3d if self.axes == 3 else F.conv2d
        y = convolution(x, weight, stride=self.strides[name], padding=weight.shape[-1] // 2)
        mean, variance = self.running[name]
        return F.batch_norm(y, mean, variance, P[name + ".norm.scale"], P[name + ".norm.shift"], training, 0.1, 1e-5)

    def forward(self, P, x, training):
        x = F.relu(self.conv_norm(P, "body.stem", x, training))
        for stage in range(len(self.widths)):
            for block in range(self.blocks[stage]):
                name = f"body.stage{stage}.block{block}"
                y = F.relu(self.conv_norm(P, name + ".first", x, training))
                y = self.conv_norm(P, name + ".second", y, training)
                beside = self.conv_norm(P, name + ".shortcut", x, training) if name + ".shortcut" in self.strides else x
                x = F.relu(beside + y)
        return x


class Norm:
    """One batch norm."""

    def __init__(self, channels):
        self.shapes = {"body.scale": [channels], "body.shift": [channels]}
        self.running = {"body": (torch.zeros(channels).double(), torch.ones(channels).double())}

    def forward(self, P, x, training):
        mean, variance = self.running["body"]
        return F.batch_norm(x, mean, variance, P["body.scale"], P["body.shift"], training, 0.1, 1e-5)


def parameters(shapes):
    """Values by the order of names."""
    P = {}
    for seed, name in enumerate(sorted(shapes), 20):
        values = numbers(shapes[name], seed)
        P[name] = (values * 0.4 if name.endswith("weight") else values * 0.5 + 1 if name.endswith("scale") else values * 0.5).requires_grad_()
    return P


def answers(network, shape):
    P, found = parameters(network.shapes), {}
    network.forward(P, numbers(shape, 1), True)
    for phase, seed in (("train", 2), ("evaluate", 1)):
        x = numbers(shape, seed).requires_grad_()
        y = network.forward(P, x, phase == "train")
        gradients = torch.autograd.grad((y * numbers(y.shape, 3)).sum(), [x, *P.values()])
        found[f"{phase}.output"] = digest(y)
        found.update({f"{phase}.gradient.{name}": digest(g) for name, g in zip(["x", *P], gradients)})
        for name, (mean, variance) in network.running.items():
            norm = name if name == "body" else name + ".norm"
            found[f"{phase}.{norm}.running_mean"] = digest(mean)
            found[f"{phase}.{norm}.running_variance"] = digest(variance)
    return found


def main():
    fixture = {
        "norm": answers(Norm(3), [4, 3, 5, 2]),
        "planar": answers(Stages(2, [8, 16], [2, 1], 1, 0, 3), [5, 3, 9, 8]),
        "deep": answers(Stages(3, [8, 8, 16], [1, 2, 1], 2, 2, 2), [3, 2, 8, 18, 16]),
    }
    FIXTURE.parent.mkdir(exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in fixture.items())
    FIXTURE.write_text("{\n" + lines.replace("], ", "],\n    ") + "\n}\n")


if __name__ == "__main__":
    main()

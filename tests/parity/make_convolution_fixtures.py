"""Shapes and strides of PyTorch's convolutions, as JSON for the tests of mtids-cuda.

    python tests/parity/make_convolution_fixtures.py

Needs PyTorch (model_requirements.txt). Tensors are of the device `meta`, so nothing is computed. Where PyTorch refuses a
convolution, `output` is null.
"""

import json
import random
from pathlib import Path

import torch

target = Path(__file__).parents[2] / "crates/mtids-cuda/src/conv/fixtures/shapes.json"
random.seed(19)


def case(axes, batch, inputs, outputs, groups, size, kernel, stride, padding, dilation):
    x = torch.empty(batch, inputs, *size, device="meta")
    weight = torch.empty(outputs, inputs // groups, *kernel, device="meta")
    function = torch.nn.functional.conv2d if axes == 2 else torch.nn.functional.conv3d
    try:
        y = function(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    except RuntimeError as error:
        assert "size" in str(error), error
        y = None
    return {
        "input": list(x.shape),
        "filter": list(weight.shape),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "output": None if y is None else list(y.shape),
        "input_strides": list(x.stride()),
        "output_strides": None if y is None else list(y.stride()),
    }


cases = []
for axes in (2, 3):
    draw = lambda low, high: [random.randint(low, high) for _ in range(axes)]
    for number in range(100):
        groups = random.choice([1, 1, 2, 4])
        inputs, outputs = groups * random.randint(1, 4), groups * random.randint(1, 4)
        if number % 5 == 0:  # depthwise
            groups = inputs
            outputs = inputs * random.randint(1, 2)
        cases.append(
            case(axes, random.randint(1, 5), inputs, outputs, groups, draw(1, 20), draw(1, 5), draw(1, 3), draw(0, 3), draw(1, 3))
        )
    # The layers of the default trunks: kernel 3 with strides 1 and 2, shortcuts of kernel 1.
    for width in (16, 32, 64, 128):
        size = [44, 44] if axes == 2 else [12, 44, 44]
        cases.append(case(axes, 64, width, width, 1, size, [3] * axes, [1] * axes, [1] * axes, [1] * axes))
        cases.append(case(axes, 64, width // 2, width, 1, size, [3] * axes, [2] * axes, [1] * axes, [1] * axes))
        cases.append(case(axes, 64, width // 2, width, 1, size, [1] * axes, [2] * axes, [0] * axes, [1] * axes))

lines = ",\n".join(json.dumps(case) for case in cases)
target.write_text(f"[\n{lines}\n]\n")
print(f"{len(cases)} convolutions, {sum(case['output'] is None for case in cases)} refused, PyTorch {torch.__version__}")

"""Runs ONNX files with onnxruntime on the CPU and prints what they answer.

    python tests/python/run_onnx.py FOLDER

For `NAME.onnx` of the folder, the input `INPUT` lies in `NAME.INPUT.f32`: rows of little-endian single precision. Prints one line of JSON per model,
in the order of the names: name, metadata, and outputs by name. Fails where the answer for a row depends on the rows beside it.
"""

import json
import sys
from pathlib import Path

import numpy
import onnxruntime

# Rows at a time: maps of all symmetries of a batch are in memory together.
BATCH = 16

for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = {}
    for place in session.get_inputs():
        assert place.type == "tensor(float)" and place.shape[0] == "N", (path.name, place.name, place.type, place.shape)
        entries = numpy.fromfile(path.with_suffix(f".{place.name}.f32"), dtype="<f4")
        rows[place.name] = entries.reshape(-1, *place.shape[1:])
    names = [output.name for output in session.get_outputs()]
    count = len(next(iter(rows.values())))
    starts = range(0, count, BATCH)
    parts = [session.run(names, {name: values[at : at + BATCH] for name, values in rows.items()}) for at in starts]
    answers = [numpy.concatenate(of_output) for of_output in zip(*parts, strict=True)]
    assert all(len(answer) == count for answer in answers), (path.name, count)
    alone = session.run(names, {name: values[:1] for name, values in rows.items()})
    for name, answer, first in zip(names, answers, alone, strict=True):
        assert numpy.allclose(answer[:1], first, rtol=1e-4, atol=1e-5), (path.name, name, answer[0], first[0])
    outputs = {name: answer.tolist() for name, answer in zip(names, answers, strict=True)}
    metadata = session.get_modelmeta().custom_metadata_map
    print(json.dumps({"model": path.stem, "metadata": metadata, "outputs": outputs}))

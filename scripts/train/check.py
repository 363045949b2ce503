"""Prints the test accuracy of data/glyph_*.onnx as they are and after simple compressions.

usage: check.py [FILE...]

The compressions change the stored matrices only, with no training after them: n of m along K by
magnitude, symmetric rounding to int8, int4 or int2 with one scale per output, and pruning and
rounding together.
"""
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper

import export


def rows(model):
    """Each matrix as [outputs][K], with the function that stores such an array back."""
    k_first = {n.input[1][:-len(".float32")] for n in model.graph.node if n.op_type == "MatMul"
               and n.input[1].endswith(".float32")}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if not tensor.name.endswith(".weight") or value.ndim < 2:
            continue

        def store(new, tensor=tensor, value=value):
            new = new.T if tensor.name in k_first else new
            new = new.reshape(value.shape).astype(value.dtype)
            tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))

        flat = value.astype(np.float32)
        yield (flat.T if tensor.name in k_first else flat.reshape(len(flat), -1)), store


def prune(matrix, n, m):
    groups = matrix.reshape(len(matrix), -1, m)
    order = np.argsort(-np.abs(groups), axis=-1, kind="stable")
    mask = np.zeros_like(groups)
    np.put_along_axis(mask, order[..., :n], 1, -1)
    return (groups * mask).reshape(matrix.shape)


def quantize(matrix, bits):
    top = 2 ** (bits - 1) - 1
    scale = np.abs(matrix).max(1, keepdims=True) / top
    scale[scale == 0] = 1
    return np.round(matrix / scale) * scale


COMPRESSIONS = [
    ("as stored", lambda x: x),
    ("int8", lambda x: quantize(x, 8)),
    ("int4", lambda x: quantize(x, 4)),
    ("int2", lambda x: quantize(x, 2)),
    ("2:4", lambda x: prune(x, 2, 4)),
    ("1:4", lambda x: prune(x, 1, 4)),
    ("2:4 and int8", lambda x: quantize(prune(x, 2, 4), 8)),
    ("1:4 and int8", lambda x: quantize(prune(x, 1, 4), 8)),
]


def main(paths):
    for path in paths:
        print(os.path.basename(path))
        for name, change in COMPRESSIONS:
            model = onnx.load(path)
            for matrix, store in rows(model):
                store(change(matrix))
            print(f"    {name:14} {100 * export.accuracy(model.SerializeToString()):6.2f} %")


if __name__ == "__main__":
    main(sys.argv[1:] or [os.path.join(export.DATA, f"glyph_{name}.onnx")
                          for name in ("vit", "mlp")])

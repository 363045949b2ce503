"""Writes data/glyph_NAME.onnx from the weights that train.py saved.

usage: export.py OUT NAME...    (names: mlp, vit; OUT: the folder given to train.py)

The graphs are what exporters commonly write: opset 17, matrices stored as float16 behind a Cast to
float32, which halves the files, everything else float32. The accuracy in the metadata is that of
the finished file over the whole test set, by ONNX Runtime.
"""
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import glyphs
import models

DATA = os.path.join(glyphs.ROOT, "data")


class Graph:
    """Collects nodes; each method returns the name of the value it adds."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.initializers = []
        self.known = {}

    def node(self, kind, *inputs, name=None, **attributes):
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name="/" + output,
                                           **attributes))
        return output

    def constant(self, name, value):
        if name not in self.known:
            self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
            self.known[name] = name
        return name

    def weight(self, name, value=None):
        """A trained weight: in float16 and cast if it has two dimensions or more."""
        if name not in self.known:
            value = self.weights[name] if value is None else value
            if value.ndim < 2:
                return self.constant(name, value.astype(np.float32))
            self.initializers.append(numpy_helper.from_array(value.astype(np.float16), name))
            self.known[name] = self.node("Cast", name, name=name + ".float32",
                                         to=TensorProto.FLOAT)
        return self.known[name]

    def dense(self, name, x):
        product = self.node("MatMul", x, self.weight(name + ".weight"))
        return self.node("Add", product, self.weight(name + ".bias"))

    def norm(self, name, x):
        return self.node("LayerNormalization", x, self.weight(name + ".weight"),
                         self.weight(name + ".bias"), axis=-1, epsilon=models.EPSILON)

    def gelu(self, x):
        scaled = self.node("Div", x, self.constant("sqrt_2", np.float32(2 ** 0.5)))
        erf = self.node("Erf", scaled)
        shifted = self.node("Add", erf, self.constant("one", np.float32(1)))
        product = self.node("Mul", x, shifted)
        return self.node("Mul", product, self.constant("half", np.float32(0.5)))

    def gemm(self, name, x, weight=None, output=None):
        """y = x B' + bias with B stored [N][K]."""
        return self.node("Gemm", x, self.weight(name + ".weight", weight),
                         self.weight(name + ".bias"), transB=1, name=output)


def mlp_graph(weights):
    g = Graph(weights)
    x = g.node("Flatten", "pixels", axis=1)
    x = g.node("Relu", g.gemm("fc1", x))
    x = g.node("Relu", g.gemm("fc2", x))
    g.gemm("fc3", x, output="logits")
    return g


def attention(g, block, x):
    width = models.DIM // models.HEADS
    split = g.constant("split_heads", np.array([0, -1, models.HEADS, width], np.int64))

    def heads(name, order):
        return g.node("Transpose", g.node("Reshape", g.dense(block + name, x), split), perm=order)

    query = heads("query", [0, 2, 1, 3])
    key = heads("key", [0, 2, 3, 1])
    value = heads("value", [0, 2, 1, 3])
    scores = g.node("MatMul", query, key)
    scores = g.node("Div", scores, g.constant("sqrt_width", np.float32(width ** 0.5)))
    mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1), value)
    mixed = g.node("Transpose", mixed, perm=[0, 2, 1, 3])
    merge = g.constant("merge_heads", np.array([0, -1, models.DIM], np.int64))
    return g.dense(block + "proj", g.node("Reshape", mixed, merge))


def vit_graph(weights):
    g = Graph(weights)
    side = models.PATCH
    # The patch matrix is [16][DIM], its 16 rows in the order of a kernel's pixels.
    kernel = weights["patch.weight"].T.reshape(models.DIM, 1, side, side)
    x = g.node("Conv", "pixels", g.weight("patch.weight", kernel), g.weight("patch.bias"),
               kernel_shape=[side, side], strides=[side, side])
    x = g.node("Reshape", x, g.constant("tokens", np.array([0, models.DIM, -1], np.int64)))
    x = g.node("Transpose", x, perm=[0, 2, 1])
    x = g.node("Add", x, g.weight("position"))
    for i in range(models.DEPTH):
        block = f"block{i}."
        x = g.node("Add", x, attention(g, block, g.norm(block + "norm1", x)))
        hidden = g.gelu(g.dense(block + "fc1", g.norm(block + "norm2", x)))
        x = g.node("Add", x, g.dense(block + "fc2", hidden))
    x = g.node("ReduceMean", g.norm("norm", x), axes=[1], keepdims=0)
    g.gemm("head", x, weight=weights["head.weight"].T, output="logits")
    return g


def accuracy(model):
    """The share of the test set that the model, as bytes, classifies rightly."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    images, labels = glyphs.test_set()
    right = 0
    for i in range(0, len(images), 250):
        x = images[i:i + 250, None].astype(np.float32) * np.float32(models.SCALE)
        logits = session.run(["logits"], {"pixels": x + np.float32(models.BIAS)})[0]
        right += int((logits.argmax(1) == labels[i:i + 250]).sum())
    return right / len(images)


def export(name, folder):
    weights = dict(np.load(os.path.join(folder, name + ".npz")))
    g = {"mlp": mlp_graph, "vit": vit_graph}[name](weights)
    side = glyphs.SIDE
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, side, side])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", glyphs.CLASSES])
    graph = helper.make_graph(g.nodes, "glyph_" + name, [pixels], [logits], g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="lacuna")
    onnx.checker.check_model(model, full_check=True)
    value = accuracy(model.SerializeToString())
    read = {"set": "glyphs", "kind": "u8_affine", "layout": "NCHW", "scale": [models.SCALE],
            "bias": [models.BIAS]}
    task = {"task": "array_top1", "set": "glyphs:test", "n": glyphs.CONSTANTS["TEST_COUNT"],
            "value": value}
    helper.set_model_props(model, {
        "lacuna.input.pixels": json.dumps(read, separators=(",", ":")),
        "lacuna.task": json.dumps(task, separators=(",", ":"))})
    onnx.checker.check_model(model, full_check=True)
    path = os.path.join(DATA, f"glyph_{name}.onnx")
    onnx.save(model, path)
    print(f"glyph_{name}.onnx: {os.path.getsize(path)} bytes, test accuracy {value:.4f}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or any(name not in ("mlp", "vit") for name in sys.argv[2:]):
        sys.exit(__doc__)
    for model_name in sys.argv[2:]:
        export(model_name, sys.argv[1])

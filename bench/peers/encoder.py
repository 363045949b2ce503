#!/usr/bin/env python3
"""The encoder that whole-network rows are stated for, dense and pruned: encoder.py FOLDER

4 post-norm layers of BERT's kind, width 768, hidden 3072, 12 heads, tokens 128; seeded weights, pruned by
magnitude. Writes encoder_dense.onnx, encoder_2to4.onnx (groups of 4 down a column), encoder_block1x4_80
and _90 (4 consecutive inputs of one output), encoder_u80, _u90, _u95 (unstructured): input
hidden [N, tokens, width], output [N, tokens, width], opset 17, spelt as exporters spell BERT.
"""
import argparse, pathlib, sys

sys.path.append(sys.path.pop(0))  # onnxruntime.py here has the name of the module
import environment


def pruned(w, form):
    """Zeros in w [inputs, outputs] by magnitude."""
    import numpy as np
    inputs, outputs = w.shape
    if form == "dense":
        return w
    if form == "2to4":
        groups = np.abs(w).reshape(inputs // 4, 4, outputs)
        keep = groups.argsort(axis=1).argsort(axis=1) >= 2
        return w * keep.reshape(w.shape)
    kind, zeros = form[:-2].rstrip("_"), int(form[-2:]) / 100
    size = 4 if kind == "block1x4" else 1
    norms = np.square(w.reshape(inputs // size, size, outputs)).sum(1)
    keep = norms >= np.quantile(norms, zeros)
    return w * np.repeat(keep, size, axis=0)


def encoder(form, layers, width, hidden, heads, tokens):
    import numpy as np
    from onnx import TensorProto as T, checker, helper as H, numpy_helper as NH
    random = np.random.default_rng(7)
    nodes, weights = [], []

    def constant(array, name=None):
        name = name or f"c{len(weights)}"
        weights.append(NH.from_array(np.ascontiguousarray(array), name))
        return name

    def op(kind, inputs, name=None, **attributes):
        name = name or f"{kind.lower()}{len(nodes)}"
        nodes.append(H.make_node(kind, inputs, [name], name="n_" + name, **attributes))
        return name

    f32, i64 = lambda v: constant(np.float32(v)), lambda v: constant(np.array(v, np.int64))

    def linear(x, inputs, outputs, name):
        w = random.standard_normal((inputs, outputs)).astype(np.float32) / np.float32(inputs ** 0.5)
        return op("Add", [op("MatMul", [x, constant(pruned(w, form).astype(np.float32), name + ".weight")]),
                          constant(random.uniform(-0.1, 0.1, outputs).astype(np.float32), name + ".bias")])

    def norm(x, name):
        return op("LayerNormalization",
                  [x, constant(random.uniform(0.8, 1.2, width).astype(np.float32), name + ".gamma"),
                   constant(random.uniform(-0.1, 0.1, width).astype(np.float32), name + ".beta")],
                  axis=-1, epsilon=1e-12)

    h, size = "hidden", width // heads
    for i in range(layers):
        n = f"layer.{i}"
        head = lambda x, perm: op("Transpose", [op("Reshape", [x, i64([0, 0, heads, size])])], perm=perm)
        q, k, v = (head(linear(h, width, width, f"{n}.{a}"), p) for a, p in
                   (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])))
        s = op("Softmax", [op("Mul", [op("MatMul", [q, k]), f32(size ** -0.5)])], axis=-1)
        o = op("Reshape", [op("Transpose", [op("MatMul", [s, v])], perm=[0, 2, 1, 3]), i64([0, 0, width])])
        h = norm(op("Add", [h, linear(o, width, width, n + ".o")]), n + ".ln1")
        y = linear(h, width, hidden, n + ".ffn1")
        y = op("Mul", [op("Mul", [y, op("Add", [op("Erf", [op("Div", [y, f32(2 ** 0.5)])]), f32(1)])]), f32(0.5)])
        h = norm(op("Add", [h, linear(y, hidden, width, n + ".ffn2")]), n + ".ln2")
    op("Identity", [h], "encoded")
    value = lambda name: H.make_tensor_value_info(name, T.FLOAT, ["N", tokens, width])
    graph = H.make_graph(nodes, "encoder_" + form, [value("hidden")], [value("encoded")], weights)
    model = H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    environment.add_arguments(parser)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--forms", default="dense,2to4,block1x4_80,block1x4_90,u80,u90,u95")
    for name, size in (("layers", 4), ("width", 768), ("hidden", 3072), ("heads", 12), ("tokens", 128)):
        parser.add_argument("--" + name, type=int, default=size)
    a = parser.parse_args()
    environment.enter(environment.cache_folder(a.cache))
    import onnx
    a.folder.mkdir(parents=True, exist_ok=True)
    for form in a.forms.split(","):
        file = a.folder / f"encoder_{form}.onnx"
        onnx.save(encoder(form, a.layers, a.width, a.hidden, a.heads, a.tokens), file)
        print(file)


if __name__ == "__main__":
    main()

"""The forms of a network that each runtime likes best: plain float32, static shapes, int8."""
import pathlib

import numpy as np
import onnx
from onnx import helper, numpy_helper


def plain(source, target):
    """Stored weights (float16 + Cast, DequantizeLinear) become float32 initializers."""
    model = onnx.load(source)
    graph = model.graph
    constants = {t.name: t for t in graph.initializer}
    kept = []
    for node in graph.node:
        inputs = [constants.get(i) for i in node.input]
        if node.op_type == "Cast" and inputs[0] is not None and node.attribute[0].i == 1:
            value = numpy_helper.to_array(inputs[0]).astype(np.float32)
        elif node.op_type == "DequantizeLinear" and all(i is not None for i in inputs):
            arrays = [numpy_helper.to_array(i) for i in inputs]
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if d == axis % arrays[0].ndim else 1 for d in range(arrays[0].ndim)] \
                if arrays[1].ndim else []
            zero = arrays[2].astype(np.float32).reshape(shape) if len(arrays) > 2 else np.float32(0)
            value = (arrays[0].astype(np.float32) - zero) * arrays[1].reshape(shape)
        else:
            kept.append(node)
            continue
        constants[node.output[0]] = numpy_helper.from_array(
            np.ascontiguousarray(value, dtype=np.float32), node.output[0])
    used = {i for n in kept for i in n.input} | {o.name for o in graph.output}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(t for n, t in constants.items() if n in used)
    onnx.save(model, target)


def shapes_of(file, symbols):
    """{input: dims} with the symbols replaced."""
    model = onnx.load(file, load_external_data=False)
    weights = {t.name for t in model.graph.initializer}
    return {v.name: [symbols.get(d.dim_param, d.dim_value) for d in v.type.tensor_type.shape.dim]
            for v in model.graph.input if v.name not in weights}


def symbols_in(file):
    return {d.dim_param for v in onnx.load(file, load_external_data=False).graph.input
            for d in v.type.tensor_type.shape.dim if d.dim_param}


def static(source, target, symbols):
    model = onnx.load(source)
    for values in (model.graph.input, model.graph.output, model.graph.value_info):
        for value in values:
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in symbols:
                    dim.dim_value = symbols[dim.dim_param]
    onnx.save(model, target)


def operators(file):
    return {n.op_type for n in onnx.load(file, load_external_data=False).graph.node}


class _Reader:
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def ort_static(source, target, feeds):
    """ONNX Runtime's own recipe: QDQ, weights per channel; in transformers only the products with
    weights, as it advises there."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    prepared = str(target) + ".prepared.onnx"
    try:
        quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
    except Exception:
        prepared = str(source)
    transformer = "Softmax" in operators(source)
    quantize_static(prepared, str(target), _Reader(feeds), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                    op_types_to_quantize=["MatMul", "Gemm", "Conv"] if transformer else None,
                    extra_options={"MatMulConstBOnly": transformer})
    pathlib.Path(str(target) + ".prepared.onnx").unlink(missing_ok=True)


def ort_dynamic(source, target):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(str(source), str(target), per_channel=True, weight_type=QuantType.QInt8,
                     op_types_to_quantize=["MatMul", "Gemm", "LSTM", "Attention"],
                     extra_options={"MatMulConstBOnly": True})


def nncf_static(source, target, feeds):
    import nncf, openvino
    nncf.set_log_level("ERROR")
    model = openvino.Core().read_model(str(source))
    transformer = "Softmax" in operators(source)
    quantised = nncf.quantize(model, nncf.Dataset(feeds), subset_size=len(feeds),
                              preset=nncf.QuantizationPreset.MIXED if transformer
                              else nncf.QuantizationPreset.PERFORMANCE,
                              model_type=nncf.ModelType.TRANSFORMER if transformer else None)
    openvino.save_model(quantised, str(target), compress_to_fp16=False)


def for_deepsparse(source, target, symbols):
    """Static, opset 13 at most: LayerNormalization in the operators it had before, which is how the
    networks look that DeepSparse was made for."""
    model = onnx.load(source)
    nodes, added = [], []

    def constant(name, array):
        added.append(numpy_helper.from_array(array, name))
        return name

    for node in model.graph.node:
        if node.op_type != "LayerNormalization":
            later = {x.name: x.i for x in node.attribute if x.name in ("allowzero", "start", "end")
                     and node.op_type in ("Reshape", "Shape")}  # of opset 14, 15
            for attribute in [x for x in node.attribute if x.name in later]:
                node.attribute.remove(attribute)
            if node.op_type == "Shape" and later:
                y = node.output[0]
                node.output[0] = y + ".all"
                ends = [constant(y + ".start", np.array([later.get("start", 0)])),
                        constant(y + ".end", np.array([later.get("end", 2 ** 31 - 1)]))]
                nodes += [node, helper.make_node("Slice", [y + ".all", *ends], [y])]
                continue
            nodes.append(node)
            continue
        x, scale = node.input[:2]
        y = node.output[0]
        eps = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        p = f"{y}.ln."
        steps = [("ReduceMean", [x], p + "mean", {"axes": [-1]}), ("Sub", [x, p + "mean"], p + "d", {}),
                 ("Pow", [p + "d", constant(p + "two", np.float32(2))], p + "dd", {}),
                 ("ReduceMean", [p + "dd"], p + "var", {"axes": [-1]}),
                 ("Add", [p + "var", constant(p + "eps", np.float32(eps))], p + "ve", {}),
                 ("Sqrt", [p + "ve"], p + "std", {}), ("Div", [p + "d", p + "std"], p + "n", {}),
                 ("Mul", [p + "n", scale], p + "s" if len(node.input) > 2 else y, {})]
        if len(node.input) > 2:
            steps.append(("Add", [p + "s", node.input[2]], y, {}))
        nodes += [helper.make_node(k, i, [o], name=o, **a) for k, i, o, a in steps]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(added)
    version = min(13, *(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 13)
    del model.opset_import[:]  # quantisers name domains that no node is of, too new for its parser
    model.opset_import.append(helper.make_opsetid("", version))
    model.ir_version = min(model.ir_version, 8)
    onnx.save(model, target)
    static(target, target, symbols)

"""ONNX models and .npy files made byte by byte, so that they can be wrong in any way: protobuf needs two
kinds of field."""
import struct


def varint(n):
    n &= 2**64 - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def num(field, n):
    return varint(field << 3) + varint(n)


def msg(field, *parts):
    body = b"".join(p if isinstance(p, bytes) else p.encode() for p in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def tensor(name, dims, values, dtype=1, raw=None):
    raw = struct.pack(f"<{len(values)}f", *values) if raw is None else raw
    return b"".join(num(1, d) for d in dims) + num(2, dtype) + msg(8, name) + msg(9, raw)


def external(name, dims, location):
    entry = lambda key, text: msg(13, msg(1, key) + msg(2, text))
    return (b"".join(num(1, d) for d in dims) + num(2, 1) + msg(8, name)
            + entry("location", location) + num(14, 1))


def value(name, *dims, dtype=1):
    shape = b"".join(msg(1, msg(2, d) if isinstance(d, str) else num(1, d)) for d in dims)
    return msg(1, name) + msg(2, msg(1, num(1, dtype) + msg(2, shape)))


def node(op, inputs, outputs, domain=""):
    return (b"".join(msg(1, i) for i in inputs) + b"".join(msg(2, o) for o in outputs)
            + msg(3, "the_" + op) + msg(4, op) + (msg(7, domain) if domain else b""))


def text_attribute(name, text):
    return msg(5, msg(1, name) + msg(4, text) + num(20, 3))


def packed(name, fields, form, params):
    shape = msg(5, msg(1, "shape") + num(8, 4) + num(8, 4) + num(20, 7))
    return (node("Unpack", fields, [name], "lacuna") + shape + text_attribute("format", form)
            + text_attribute("params", params) + text_attribute("view", "columns"))


def model(nodes, inputs, outputs, tensors=(), opset=13):
    graph = (b"".join(msg(1, n) for n in nodes) + msg(2, "g") + b"".join(msg(5, t) for t in tensors)
             + b"".join(msg(11, v) for v in inputs) + b"".join(msg(12, v) for v in outputs))
    return num(1, 7) + msg(7, graph) + msg(8, msg(1, "") + num(2, opset))


def npy(dtype, shape, data, magic=b"\x93NUMPY\x01\x00"):
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return magic + struct.pack("<H", len(head)) + head + data

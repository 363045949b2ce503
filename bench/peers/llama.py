#!/usr/bin/env python3
"""Products of llama.cpp's kernels (ggml): Q8_0 and Q4_0, matrix-vector from DRAM and 128 columns.

    bench/peers/llama.py [--size 4096] [--columns 1,128] [--copies 12] [--json FILE]

Takes the source package of llama-cpp-python from PyPI, builds only its ggml for this machine (cmake and
a C++ compiler), and calls it through ctypes: one graph of one product per copy of the weights, each copy
different, more bytes than the caches. `repacked` is the layout that llama.cpp itself takes where its CPU
backend offers one. Read bandwidth is measured in the same run: a sum over 512 MiB.
"""
import argparse, ctypes, json, os, pathlib, subprocess, sys, tarfile, time

sys.path.append(sys.path.pop(0))  # onnxruntime.py here has the name of a module
import environment
from networks import machine

PACKAGE = "llama-cpp-python==0.3.36"
TYPES = {"q8_0": (8, 34), "q4_0": (2, 18)}  # ggml_type, bytes of 32 weights
SUM = r"""
#include <immintrin.h>
#include <stddef.h>
double lac_peer_sum(const char *p, size_t n)
{
    __m256i s[8] = {0};
    for (size_t i = 0; i + 256 <= n; i += 256)
        for (int k = 0; k < 8; k++)
            s[k] = _mm256_add_epi64(s[k], _mm256_loadu_si256((const __m256i *)(p + i + 32 * k)));
    for (int k = 1; k < 8; k++)
        s[0] = _mm256_add_epi64(s[0], s[k]);
    return (double)_mm256_extract_epi64(s[0], 0);
}
"""


def build(cache):
    """Folder of the shared objects."""
    folder = cache / PACKAGE.replace("==", "-")
    if (folder / "done").exists():
        return folder
    folder.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
                    "-d", folder, PACKAGE], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        members = [m for m in archive.getmembers() if "/vendor/llama.cpp/ggml/" in m.name]
        archive.extractall(folder, members)
    source = next(folder.glob("*/vendor/llama.cpp/ggml"))
    (folder / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.14)\nproject(peer C CXX)\n"
                                           f"add_subdirectory({source} ggml)\n")
    (folder / "sum.c").write_text(SUM)
    subprocess.run(["cmake", "-S", folder, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release",
                    "-DBUILD_SHARED_LIBS=ON", "-DGGML_NATIVE=ON", "-DGGML_OPENMP=OFF", "-DCMAKE_C_FLAGS=-w",
                    "-DCMAKE_CXX_FLAGS=-w"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder / "build", "--target", "ggml"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cc", "-O2", "-mavx2", "-shared", "-fPIC", "-o", folder / "sum.so", folder / "sum.c"],
                   check=True)
    (folder / "done").touch()
    return folder


class Params(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class Ggml:
    def __init__(self, folder):
        lib = lambda name: ctypes.CDLL(str(next((folder / "build").glob(f"**/lib{name}.so"))),
                                       ctypes.RTLD_GLOBAL)
        self.base, self.cpu = lib("ggml-base"), lib("ggml-cpu")
        p, i64, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
        for library, name, result, *arguments in (
                (self.base, "ggml_init", p, Params), (self.base, "ggml_free", None, p),
                (self.base, "ggml_new_tensor_2d", p, p, ctypes.c_int, i64, i64),
                (self.base, "ggml_mul_mat", p, p, p, p), (self.base, "ggml_new_graph", p, p),
                (self.base, "ggml_build_forward_expand", None, p, p),
                (self.base, "ggml_quantize_chunk", size, ctypes.c_int, p, p, i64, i64, i64, p),
                (self.base, "ggml_backend_alloc_ctx_tensors_from_buft", p, p, p),
                (self.base, "ggml_backend_tensor_set", None, p, p, size, size),
                (self.base, "ggml_backend_tensor_get", None, p, p, size, size),
                (self.base, "ggml_backend_graph_compute", ctypes.c_int, p, p),
                (self.base, "ggml_backend_get_default_buffer_type", p, p),
                (self.base, "ggml_backend_get_device", p, p),
                (self.base, "ggml_backend_buft_name", ctypes.c_char_p, p),
                (self.base, "ggml_backend_buffer_free", None, p),
                (self.base, "ggml_backend_reg_get_proc_address", p, p, ctypes.c_char_p),
                (self.cpu, "ggml_backend_cpu_init", p), (self.cpu, "ggml_backend_cpu_reg", p),
                (self.cpu, "ggml_backend_cpu_set_n_threads", None, p, ctypes.c_int)):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("ggml_"), function)
        self.backend = self.backend_cpu_init()
        self.backend_cpu_set_n_threads(self.backend, 1)

    def buffer_types(self):
        """{name: buffer type}: the plain one, and those in which llama.cpp repacks weights."""
        kinds = {"plain": self.backend_get_default_buffer_type(self.backend)}
        address = self.backend_reg_get_proc_address(self.backend_cpu_reg(),
                                                    b"ggml_backend_dev_get_extra_bufts")
        if address:
            get = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)
            extra = get(self.backend_get_device(self.backend))
            for i in range(16):
                if not extra or not extra[i]:
                    break
                if b"REPACK" in self.backend_buft_name(extra[i]):
                    kinds["repacked"] = extra[i]
        return kinds

    def product(self, kind, buffer_type, size, columns, copies):
        """(run, check): run() does one product with each copy; check() the error of the first."""
        import numpy as np
        weights = self.init(Params(1 << 20, None, True))
        ws = [self.new_tensor_2d(weights, TYPES[kind][0], size, size) for _ in range(copies)]
        if not self.backend_alloc_ctx_tensors_from_buft(weights, buffer_type):
            raise MemoryError("no buffer of that type")
        values = self.init(Params(4 << 20, None, True))
        x = self.new_tensor_2d(values, 0, size, columns)
        outs = [self.mul_mat(values, w, x) for w in ws]
        graph = self.new_graph(values)
        for out in outs:
            self.build_forward_expand(graph, out)
        self.backend_alloc_ctx_tensors_from_buft(values, self.backend_get_default_buffer_type(self.backend))
        random = np.random.default_rng(1)
        n = size * size // 32 * TYPES[kind][1]
        first = None
        for w in ws:
            f = random.standard_normal((size, size), dtype=np.float32)
            q = np.empty(n, np.uint8)
            self.quantize_chunk(TYPES[kind][0], f.ctypes.data, q.ctypes.data, 0, size, size, None)
            self.backend_tensor_set(w, q.ctypes.data, 0, n)
            first = f if first is None else first
        given = random.standard_normal((columns, size), dtype=np.float32)
        self.backend_tensor_set(x, given.ctypes.data, 0, given.nbytes)

        def check():
            got = np.empty((columns, size), np.float32)
            self.backend_tensor_get(outs[0], got.ctypes.data, 0, got.nbytes)
            want = given @ first.T
            return float(np.sqrt(((got - want) ** 2).mean() / (want ** 2).mean()))
        return lambda: self.backend_graph_compute(self.backend, graph), check, n


def bandwidth(folder):
    """GB/s of a sum over 512 MiB, best of 5."""
    import numpy as np
    library = ctypes.CDLL(str(folder / "sum.so"))
    library.lac_peer_sum.restype = ctypes.c_double
    library.lac_peer_sum.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    data, best = np.ones(512 << 17, np.uint32), 1e9
    for _ in range(5):
        start = time.perf_counter()
        library.lac_peer_sum(data.ctypes.data, data.nbytes)
        best = min(best, time.perf_counter() - start)
    return data.nbytes / best * 1e-9


def case(library, folder, kind, layout, columns, a, lock):
    ggml = library(folder)
    types = ggml.buffer_types()
    if layout not in types:
        return None
    copies = a.copies if columns == 1 else 1
    run, check, size = ggml.product(kind, types[layout], a.size, columns, copies)
    times = []
    for _ in range(a.rounds):
        lock.hold()
        run()
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) / copies)
    lock.release()
    return {"weights": kind, "layout": layout, "columns": columns, "bytes": size,
            "ms": sorted(times)[len(times) // 2] * 1e3, "error": check()}


def alone(function, *arguments):
    """The function's result from a process of its own; None when it ends otherwise."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, json.dumps(function(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    environment.add_arguments(parser)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--columns", default="1,128")
    parser.add_argument("--copies", type=int, default=12, help="distinct weights: more than the caches hold")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json")
    a = parser.parse_args()
    cache = environment.cache_folder(a.cache)
    environment.enter(cache)
    folder = build(cache)
    environment.settle(environment.last_core() if a.core is None else a.core, a.realtime)
    lock, rows = environment.Lock(a.lock), []
    lock.hold()
    read = bandwidth(folder)
    lock.release()
    print(f"{PACKAGE}, one core, {a.size}x{a.size}, read bandwidth {read:.1f} GB/s")
    print(f"{'weights':8s} {'layout':9s} {'columns':>7s} {'ms':>9s} {'GMAC/s':>8s} {'GB/s':>7s} "
          f"{'of read':>8s} {'error':>8s}")
    for kind in TYPES:
        for layout in "plain", "repacked":
            for columns in map(int, a.columns.split(",")):
                row = alone(case, Ggml, folder, kind, layout, columns, a, lock)
                if not row:
                    print(f"{kind:8s} {layout:9s} {columns:7d} not there: ggml has no such layout here")
                    continue
                row.update(gmacs=a.size ** 2 * columns / row["ms"] * 1e-6,
                           gbps=row["bytes"] / row["ms"] * 1e-6)
                row["of_read"] = row["gbps"] / read
                rows.append(row)
                print(f"{kind:8s} {layout:9s} {columns:7d} {row['ms']:9.3f} {row['gmacs']:8.1f} "
                      f"{row['gbps']:7.1f} {100 * row['of_read']:6.0f} % {100 * row['error']:6.2f} %",
                      flush=True)
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(
            {"schema": "lacuna.peers.ggml/1", "package": PACKAGE, "machine": machine(),
             "read_gbps": read, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""One network in one runtime, in a process of its own: worker.py RUNTIME FILE SHAPES OPTIONS

Commands on standard input, a line of JSON for each on standard output:
    time SECONDS CORE REALTIME  median and least time of a run on that core, after as long a warm-up
    run IN.npz OUT.npy          the first output
Floats of timed inputs are uniform in [-1, 1), integers 1."""
import json, os, sys, time

sys.path.append(sys.path.pop(0))  # onnxruntime.py here has the name of the module
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer

import environment
import numpy as np

TYPES = {"float": "float32", "double": "float64", "f32": "float32", "i64": "int64"}


def load_ort(file, shapes, options):
    import onnxruntime as ort
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    first = session.get_outputs()[0].name

    def start(feed):
        for name, x in feed.items():
            binding.bind_cpu_input(name, x)
        for out in session.get_outputs():
            binding.bind_output(out.name)
        return lambda: session.run_with_iobinding(binding)
    return start, lambda feed: session.run([first], feed)[0]


def load_openvino(file, shapes, options):
    import openvino
    core = openvino.Core()
    model = core.read_model(file)
    model.reshape({name: openvino.PartialShape(dims) for name, dims in shapes.items()})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False, **options}
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def start(feed):
        for name, x in feed.items():
            request.set_tensor(name, openvino.Tensor(x))
        return lambda: request.infer(share_outputs=True)

    def run(feed):
        for name, x in feed.items():
            request.set_tensor(name, openvino.Tensor(x))
        request.infer()
        return request.get_output_tensor(0).data.copy()
    return start, run


def load_deepsparse(file, shapes, options):
    os.environ["NM_DISABLE_ANALYTICS"] = "1"
    import deepsparse
    engine = deepsparse.Engine(file, batch_size=None, num_cores=1, scheduler="single_stream")
    names = list(engine.input_names)

    def start(feed):
        inputs = [feed[n] for n in names]
        outputs = [np.zeros(o.shape, o.dtype) for o in engine.run(inputs)]
        return lambda: engine._eng_net.execute_list_out(inputs)
    return start, lambda feed: engine.run([feed[n] for n in names])[0]


def main():
    runtime, file, shapes, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
    begin = time.perf_counter()
    start, run = {"ort": load_ort, "openvino": load_openvino, "deepsparse": load_deepsparse}[runtime](
        file, {k: v["dims"] for k, v in shapes.items()}, options)
    random = np.random.default_rng(1)
    feed = {}
    for name, spec in shapes.items():
        x = np.ones(spec["dims"]) if "int" in spec["type"] else random.uniform(-1, 1, spec["dims"])
        feed[name] = np.ascontiguousarray(x.astype(spec["type"]))
    once = None
    print(json.dumps({"ready": time.perf_counter() - begin}), file=answers, flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "run":
            given = np.load(words[1])
            np.save(words[2], run({k: np.ascontiguousarray(given[k]) for k in given.files}))
            print(json.dumps({}), file=answers, flush=True)
            continue
        seconds, core, realtime = float(words[1]), int(words[2]), int(words[3])
        if once is None:
            once = start(feed)
            once()
        environment.settle(core, realtime)
        times, clock = [], time.perf_counter
        begin = clock()
        while clock() - begin < seconds / 4:
            once()
        begin = clock()
        while len(times) < 3 or clock() - begin < seconds:
            t = clock()
            once()
            times.append(clock() - t)
        if any(os.sched_getaffinity(int(t)) != {core} for t in os.listdir("/proc/self/task")):
            sys.exit("a thread left the core")
        times.sort()
        print(json.dumps({"ms": times[len(times) // 2] * 1e3, "least": times[0] * 1e3,
                          "runs": len(times)}), file=answers, flush=True)


if __name__ == "__main__":
    main()

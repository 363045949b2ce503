/* lacuna/lacuna.h - load a network, run it, save it.
 *
 *     lac_error err;
 *     lac_graph *graph;
 *     lac_session *session;
 *     if (lac_onnx_load(&graph, "model.onnx", &err) != LAC_OK) ...
 *     if (lac_session_make(&session, graph, NULL, &err) != LAC_OK) ...
 *     lac_session_run(session, inputs, outputs, &err);
 *
 * A graph may be shared by sessions and outlives them; a session is used by one thread at a time
 * (it uses several itself). */
#ifndef LACUNA_LACUNA_H
#define LACUNA_LACUNA_H

#include <lacuna/core.h>
#include <lacuna/graph.h>
#include <lacuna/layer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0" of the library at run time. */
LAC_API const char *lac_version(void);
/* Name and state of each optional part ("jpeg", "libjpeg-turbo 2.1.5" / "off: not found at build
 * time"); false after the last. */
LAC_API bool lac_version_part(int index, const char **part, const char **state);

/* Threads that parallel loops and the dense library use; 0: as many as the machine has. The
 * results have the same bits for any number. */
LAC_API void lac_threads_set(int threads);
LAC_API int lac_threads(void);

/* ---- files -------------------------------------------------------------------------------- */

/* Reads an ONNX file. External data is mapped from files in the model's own folder only. Untrusted
 * input is safe: any bytes give a graph or an error. */
LAC_API lac_status lac_onnx_load(lac_graph **graph, const char *path, lac_error *err);
/* Writes `graph` aside and renames. Constants of at least `external_bytes` go to FILE.data beside
 * it; 0: everything inside. */
LAC_API lac_status lac_onnx_save(const lac_graph *graph, const char *path, size_t external_bytes,
                                 lac_error *err);
LAC_API lac_status lac_npy_load(lac_tensor *tensor, const char *path, lac_error *err);
LAC_API lac_status lac_npy_save(const lac_tensor *tensor, const char *path, lac_error *err);

/* ---- running -------------------------------------------------------------------------------- */

typedef struct lac_session lac_session;

/* What a step of the plan was made of; see lac_session_step. */
typedef struct lac_step_info {
    const char *name;   /* node name; fused nodes have the name of the layer */
    const char *op;     /* operator, or layer kind */
    const char *kernel; /* kernel row, or "operator" */
    const char *format; /* of the weights: "dense", "nm", ... or "" */
    const char *isa;
    const char *why;      /* why not a better kernel, or "" */
    int64_t macs;         /* dense multiply-accumulates, 0 if not a layer */
    int64_t stored_bytes; /* of the weights as the file holds them */
    double seconds;       /* of the last run, with options.time_steps */
} lac_step_info;

/* A layer runner: computes `layer` instead of a kernel and writes layer->output. Operands are
 * floats, or integers with the scales that lac_operand describes: activations uint8 or int8 with
 * one scale, weights int8, dense or packed, with one scale or one per output.
 * LAC_ERROR_UNSUPPORTED: the kernel runs it after all. Called for every layer of the plan. */
typedef lac_status (*lac_layer_runner)(void *context, const lac_layer *layer, lac_error *err);
/* Sees every tensor of the graph as it is computed (calibration). */
typedef void (*lac_value_watcher)(void *context, const char *value_name, const lac_tensor *value);

typedef struct lac_session_options {
    bool time_steps; /* measure each step */
    bool no_fusion;  /* one step per node, dense reference semantics */
    lac_layer_runner runner;
    void *runner_context;
    lac_value_watcher watcher; /* implies no fusion across watched values */
    void *watcher_context;
} lac_session_options;

/* `options` NULL: defaults. The graph must outlive the session. Plans are made at the first run of
 * each set of input shapes and kept. */
LAC_API lac_status lac_session_make(lac_session **session, const lac_graph *graph,
                                    const lac_session_options *options, lac_error *err);
LAC_API void lac_session_free(lac_session *session);
/* `in`: one tensor per graph input, in order. `out`: one per graph output; each becomes a tensor
 * that the caller releases. */
LAC_API lac_status lac_session_run(lac_session *session, const lac_tensor *in, lac_tensor *out,
                                   lac_error *err);
/* Step `index` of the plan of the last run; false past the end. */
LAC_API bool lac_session_step(const lac_session *session, int index, lac_step_info *info);
/* What a session keeps in memory, bytes. */
typedef struct lac_memory_info {
    size_t mapped;      /* constants read where the file is mapped */
    size_t held;        /* constants read from a copy of their own */
    size_t repacked;    /* of kernels: constants in another order, sums, copies of activations */
    size_t activations; /* lac_session_peak_bytes */
    size_t resident;    /* the most that the whole process ever had in memory */
} lac_memory_info;
LAC_API void lac_session_memory(const lac_session *session, lac_memory_info *info);
/* Largest sum of live intermediate tensors of the last plan, bytes. */
LAC_API size_t lac_session_peak_bytes(const lac_session *session);

#ifdef __cplusplus
}
#endif
#endif

/* lacuna run: one run of a network on given inputs. */
#include "cli/command.h"
#include "core/memory.h"
#include "io/npy.h"
#include "io/onnx.h"
#include "report/json.h"
#include "study/export.h"
#include "study/model.h"

#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct inputs {
    const lac_graph *graph;
    lac_tensor *in;
    int taken; /* arrays of the .npz at hand */
} inputs;

/* The input called by the first `length` bytes of `name`, or -1. */
static int find_input(const lac_graph *graph, const char *name, size_t length)
{
    for (int n = 0; n < graph->n_inputs; n++) {
        const char *own = graph->values[graph->inputs[n]].name;
        if (strlen(own) == length && strncmp(own, name, length) == 0)
            return n;
    }
    return -1;
}

/* Arrays of an .npz that are no inputs (labels, say) are left alone. */
static lac_status take_array(void *context, const char *name, const lac_tensor *tensor,
                             lac_error *err)
{
    inputs *to = context;
    int found = find_input(to->graph, name, strlen(name));
    if (found < 0)
        return LAC_OK;
    if (to->in[found].data)
        return lac_fail(err, LAC_ERROR_INPUT, "input '%s' is given twice", name);
    lac_tensor_share(&to->in[found], tensor);
    to->taken++;
    return LAC_OK;
}

static bool has_ending(const char *path, const char *ending)
{
    size_t length = strlen(path), end = strlen(ending);
    return length > end && strcmp(path + length - end, ending) == 0;
}

static lac_status read_npz(const lac_graph *graph, lac_tensor *in, const char *path, lac_error *err)
{
    inputs to = {graph, in, 0};
    LAC_TRY(lac_npz_load(path, take_array, &to, err));
    if (to.taken == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: no array is named like an input of the model",
                        path);
    return LAC_OK;
}

static lac_status read_inputs(const cli_arguments *arguments, const lac_graph *graph,
                              lac_tensor *in, lac_error *err)
{
    const char *item;
    for (int i = 0; (item = option_value(arguments, "input", i)); i++) {
        const char *equals = strchr(item, '=');
        if (!equals && has_ending(item, ".npz")) {
            LAC_TRY(read_npz(graph, in, item, err));
            continue;
        }
        int found = equals                 ? find_input(graph, item, (size_t)(equals - item))
                    : graph->n_inputs == 1 ? 0
                                           : -1;
        if (found < 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "--input %s: the model has no such input; it has '%s'%s", item,
                            graph->n_inputs ? graph->values[graph->inputs[0]].name : "",
                            graph->n_inputs > 1 ? " and others (lacuna inspect)" : "");
        if (in[found].data)
            return lac_fail(err, LAC_ERROR_INPUT, "--input %s: given twice", item);
        const char *path = equals ? equals + 1 : item;
        LAC_TRY(has_ending(path, ".pb") ? lac_onnx_tensor_load(&in[found], path, err)
                                        : lac_npy_load(&in[found], path, err));
    }
    for (int n = 0; n < graph->n_inputs; n++)
        if (!in[n].data)
            return lac_fail(err, LAC_ERROR_INPUT, "input '%s' is missing: --input %s=FILE.npy",
                            graph->values[graph->inputs[n]].name,
                            graph->values[graph->inputs[n]].name);
    return LAC_OK;
}

/* Every output, or none. */
static lac_status write_outputs(const cli_arguments *arguments, const lac_graph *graph,
                                const lac_tensor *out, lac_error *err)
{
    const char *folder = option_value(arguments, "output-dir", 0);
    lac_aside_set files = {0};
    bool made = false;
    lac_status status = LAC_OK;
    if (folder && (status = lac_export_folder(folder, &made, err)) != LAC_OK)
        lac_fail_in(err, status, "--output-dir");
    for (int i = 0; folder && status == LAC_OK && i < graph->n_outputs; i++)
        status =
            lac_export_npy(&files, folder, graph->values[graph->outputs[i]].name, &out[i], err);
    if (status == LAC_OK)
        status = lac_aside_finish(&files, err);
    lac_aside_set_release(&files);
    if (status != LAC_OK && made)
        rmdir(folder);
    return status;
}

static lac_status describe(const cli_arguments *arguments, const lac_graph *graph,
                           const lac_tensor *out, const lac_session *session, int layers,
                           lac_error *err)
{
    char text[160];
    lac_memory_info memory;
    lac_session_memory(session, &memory);
    if (arguments->json) {
        json_t *outputs = json_array();
        for (int i = 0; i < graph->n_outputs; i++)
            json_array_append_new(outputs,
                                  json_pack("{s:o, s:s}", "name",
                                            lac_json_text(graph->values[graph->outputs[i]].name),
                                            "tensor", lac_tensor_text(&out[i], text, sizeof text)));
        json_t *root = json_pack("{s:o, s:I, s:o}", "outputs", outputs, "peak_bytes",
                                 (json_int_t)memory.activations, "memory", memory_json(&memory));
        if (option_given(arguments, "capture"))
            json_object_set_new(root, "captured_layers", json_integer(layers));
        return print_json("lacuna.run/1", root, err);
    }
    lac_text lines = {0};
    for (int i = 0; i < graph->n_outputs; i++) {
        lac_text_add(&lines, "%s: %s", graph->values[graph->outputs[i]].name,
                     lac_tensor_text(&out[i], text, sizeof text));
        int64_t count = lac_tensor_count(&out[i]);
        for (int64_t k = 0; k < count && k < 8; k++)
            lac_text_add(&lines, "%s%.6g", k ? " " : "  ", lac_tensor_get(&out[i], k));
        lac_text_add(&lines, count > 8 ? " ...\n" : "\n");
    }
    lac_text_add(&lines, "peak memory of intermediate tensors: %zu bytes\n", memory.activations);
    memory_text(&lines, &memory);
    if (option_given(arguments, "capture"))
        lac_text_add(&lines, "captured %d layers: %s/layers.json\n", layers,
                     option_value(arguments, "capture", 0));
    lac_status status = print_text(&lines, err);
    lac_text_release(&lines);
    return status;
}

static lac_status run_model(const cli_arguments *arguments, const lac_graph *graph, lac_error *err)
{
    lac_tensor *in = lac_alloc((size_t)graph->n_inputs, sizeof *in, err);
    lac_tensor *out = lac_alloc((size_t)graph->n_outputs, sizeof *out, err);
    lac_session *session = NULL;
    lac_status status = in && out ? LAC_OK : LAC_ERROR_MEMORY;
    const char *capture = option_value(arguments, "capture", 0);
    int layers = 0;
    if (status == LAC_OK)
        status = read_inputs(arguments, graph, in, err);
    if (status == LAC_OK)
        status = lac_session_make(&session, graph, NULL, err);
    if (status == LAC_OK)
        status = lac_session_run(session, in, out, err);
    if (status == LAC_OK && capture)
        status = lac_export_layers(graph, in, capture, &layers, err);
    if (status == LAC_OK)
        status = write_outputs(arguments, graph, out, err);
    if (status == LAC_OK)
        status = describe(arguments, graph, out, session, layers, err);
    for (int i = 0; in && i < graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    for (int i = 0; out && i < graph->n_outputs; i++)
        lac_tensor_release(&out[i]);
    lac_free(in);
    lac_free(out);
    lac_session_free(session);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_model model;
    LAC_TRY(lac_model_open(&model, arguments->positional[0], NULL, err));
    lac_status status = run_model(arguments, model.graph, err);
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", arguments->positional[0]);
}

static const cli_option options[] = {
    {"input", 'i', "NAME=FILE.npy", "one input of the model, or FILE.npz with several; repeatable"},
    {"output-dir", 'o', "DIR", "write each output as NAME.npy into this folder"},
    {"capture", 0, "DIR",
     "write every layer's operands as .npy, and layers.json, into this folder"},
    {0}};

const cli_command command_run = {
    .name = "run",
    .usage = "MODEL --input NAME=x.npy ... [--output-dir DIR]",
    .summary = "run a network once on given inputs",
    .details = "  lacuna run model.onnx --input pixels=x.npy --output-dir out\n\n"
               "Writes one .npy per output, named after it (characters outside [A-Za-z0-9._-]\n"
               "become _): all of them, or none. An .npz gives every input that it has an array\n"
               "for; NAME=FILE.pb reads a tensor as ONNX's own test data hold it. LACUNA_ISA=ref\n"
               "runs the portable kernels only.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};

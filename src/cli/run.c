/* lacuna run: one run of a network on given inputs. */
#include "cli/command.h"
#include "core/memory.h"
#include "report/table.h"
#include "study/model.h"

#include <errno.h>
#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* An output's name as a file's: characters outside [A-Za-z0-9._-] become _. */
static void file_name(const char *name, char *text, size_t size)
{
    snprintf(text, size, "%s", name[0] ? name : "_");
    for (char *c = text; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c))
            *c = '_';
}

static lac_status read_inputs(const cli_arguments *arguments, const lac_graph *graph,
                              lac_tensor *in, lac_error *err)
{
    const char *item;
    for (int i = 0; (item = option_value(arguments, "input", i)); i++) {
        const char *equals = strchr(item, '=');
        int found = -1;
        if (!equals && graph->n_inputs == 1)
            found = 0;
        for (int n = 0; equals && n < graph->n_inputs; n++) {
            const char *name = graph->values[graph->inputs[n]].name;
            if (strlen(name) == (size_t)(equals - item) && strncmp(name, item, strlen(name)) == 0)
                found = n;
        }
        if (found < 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "--input %s: the model has no such input; it has '%s'%s", item,
                            graph->n_inputs ? graph->values[graph->inputs[0]].name : "",
                            graph->n_inputs > 1 ? " and others (lacuna inspect)" : "");
        if (in[found].data)
            return lac_fail(err, LAC_ERROR_INPUT, "--input %s: given twice", item);
        LAC_TRY(lac_npy_load(&in[found], equals ? equals + 1 : item, err));
    }
    for (int n = 0; n < graph->n_inputs; n++)
        if (!in[n].data)
            return lac_fail(err, LAC_ERROR_INPUT, "input '%s' is missing: --input %s=FILE.npy",
                            graph->values[graph->inputs[n]].name,
                            graph->values[graph->inputs[n]].name);
    return LAC_OK;
}

static lac_status write_outputs(const cli_arguments *arguments, const lac_graph *graph,
                                const lac_tensor *out, lac_error *err)
{
    const char *folder = option_value(arguments, "output-dir", 0);
    char name[200], other[200];
    for (int i = 0; folder && i < graph->n_outputs; i++) /* no output may hide another */
        for (int k = 0; k < i; k++) {
            file_name(graph->values[graph->outputs[i]].name, name, sizeof name);
            file_name(graph->values[graph->outputs[k]].name, other, sizeof other);
            if (strcmp(name, other) == 0)
                return lac_fail(err, LAC_ERROR_INPUT, "two outputs would be written to %s.npy",
                                name);
        }
    for (int i = 0; folder && i < graph->n_outputs; i++) {
        lac_text path = {0};
        file_name(graph->values[graph->outputs[i]].name, name, sizeof name);
        lac_text_add(&path, "%s/%s.npy", folder, name);
        lac_status status = path.failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory")
                                        : lac_npy_save(&out[i], path.data, err);
        lac_text_release(&path);
        LAC_TRY(status);
    }
    return LAC_OK;
}

static lac_status describe(const cli_arguments *arguments, const lac_graph *graph,
                           const lac_tensor *out, const lac_session *session, lac_error *err)
{
    char text[160];
    if (arguments->json) {
        json_t *outputs = json_array();
        for (int i = 0; i < graph->n_outputs; i++)
            json_array_append_new(
                outputs, json_pack("{s:s, s:s}", "name", graph->values[graph->outputs[i]].name,
                                   "tensor", lac_tensor_text(&out[i], text, sizeof text)));
        return print_json("lacuna.run/1",
                          json_pack("{s:o, s:I}", "outputs", outputs, "peak_bytes",
                                    (json_int_t)lac_session_peak_bytes(session)),
                          err);
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
    lac_text_add(&lines, "peak memory of intermediate tensors: %zu bytes\n",
                 lac_session_peak_bytes(session));
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
    const char *folder = option_value(arguments, "output-dir", 0);
    if (status == LAC_OK && folder && mkdir(folder, 0777) != 0 && errno != EEXIST)
        status = lac_fail(err, LAC_ERROR_IO, "--output-dir %s: %s", folder, strerror(errno));
    if (status == LAC_OK)
        status = read_inputs(arguments, graph, in, err);
    if (status == LAC_OK)
        status = lac_session_make(&session, graph, NULL, err);
    if (status == LAC_OK)
        status = lac_session_run(session, in, out, err);
    if (status == LAC_OK)
        status = write_outputs(arguments, graph, out, err);
    if (status == LAC_OK)
        status = describe(arguments, graph, out, session, err);
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
    {"input", 'i', "NAME=FILE.npy", "one input of the model; repeatable"},
    {"output-dir", 'o', "DIR", "write each output as NAME.npy into this folder"},
    {0}};

const cli_command command_run = {
    .name = "run",
    .usage = "MODEL --input NAME=x.npy ... [--output-dir DIR]",
    .summary = "run a network once on given inputs",
    .details = "  lacuna run model.onnx --input pixels=x.npy --output-dir out\n\n"
               "Writes one .npy per output, named after it (characters outside [A-Za-z0-9._-]\n"
               "become _). LACUNA_ISA=ref runs the portable kernels only.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};

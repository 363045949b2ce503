/* Runs an ONNX model on one input (a .npy file, or zeros) and prints the largest output.
 *
 *     cc run_model.c $(pkg-config --cflags --libs lacuna) -o run_model
 *     ./run_model model.onnx [input.npy] */
#include <lacuna/lacuna.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(call) ((call) == LAC_OK ? (void)0 : (fprintf(stderr, "%s\n", err.message), exit(1)))

int main(int argc, char **argv)
{
    lac_error err;
    lac_graph *graph;
    lac_session *session;
    lac_tensor in, out;
    if (argc < 2)
        return fprintf(stderr, "usage: run_model MODEL.onnx [INPUT.npy]\n"), 1;
    CHECK(lac_onnx_load(&graph, argv[1], &err));
    if (graph->n_inputs != 1 || graph->n_outputs != 1)
        return fprintf(stderr, "%s: want one input and one output\n", argv[1]), 1;
    CHECK(lac_session_make(&session, graph, NULL, &err));
    const lac_value *input = &graph->values[graph->inputs[0]];
    int64_t dims[LAC_MAX_RANK];
    for (int i = 0; i < input->rank; i++) /* a symbol such as "batch" becomes 1 */
        dims[i] = input->dims[i].size < 0 ? 1 : input->dims[i].size;
    CHECK(argc > 2 ? lac_npy_load(&in, argv[2], &err)
                   : lac_tensor_make(&in, input->dtype, input->rank, dims, &err));
    CHECK(lac_session_run(session, &in, &out, &err));
    int64_t best = 0;
    for (int64_t i = 1; i < lac_tensor_count(&out); i++)
        if (lac_tensor_get(&out, i) > lac_tensor_get(&out, best))
            best = i;
    printf("arg max %lld, value %g\n", (long long)best, lac_tensor_get(&out, best));
    lac_tensor_release(&in);
    lac_tensor_release(&out);
    lac_session_free(session);
    lac_graph_free(graph);
    return 0;
}

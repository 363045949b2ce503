/* Any bytes as an ONNX model: refused, or a graph that can be copied and written. */
#include <lacuna/lacuna.h>

#include "io/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_error err;
    lac_graph *graph, *copy;
    if (lac_onnx_parse(&graph, data, size, NULL, &err) != LAC_OK)
        return 0;
    if (lac_graph_copy(&copy, graph, &err) == LAC_OK) {
        (void)lac_onnx_save(copy, "/dev/null", 0, &err); /* a broken Unpack has no function body */
        lac_graph_free(copy);
    }
    lac_graph_free(graph);
    return 0;
}

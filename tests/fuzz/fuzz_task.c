/* Any text as a model's lacuna.task metadata: refused, or tasks whose preprocessing is refused or
 * makes an input of a small image and of a small array. Data sets are not opened: their paths would
 * be the fuzzer's. */
#include <stdlib.h>
#include <string.h>

#include "io/dataset.h"
#include "io/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void preprocess(const json_t *task)
{
    static uint8_t pixels[5 * 7 * 3] = {1, 2, 3};
    static int8_t numbers[12] = {-1, 2, 3};
    lac_tensor image = lac_tensor_view(LAC_U8, 3, (int64_t[]){5, 7, 3}, pixels);
    lac_tensor array = lac_tensor_view(LAC_I8, 2, (int64_t[]){3, 4}, numbers), input;
    lac_preprocess how;
    lac_error err;
    if (lac_preprocess_read(&how, json_object_get(task, "preprocess"), &err) != LAC_OK)
        return;
    if (how.size > 512) /* legal but slow */
        how.size = 512;
    if (lac_preprocess_image(&how, &image, &input, &err) == LAC_OK)
        lac_tensor_release(&input);
    if (lac_preprocess_array(&how, &array, &input, &err) == LAC_OK)
        lac_tensor_release(&input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_error err;
    lac_graph *graph;
    int x;
    char *text = malloc(size + 1);
    if (!text || lac_graph_make(&graph, "fuzz", 17, &err) != LAC_OK)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    if (lac_graph_value(graph, "x", &x, &err) != LAC_OK ||
        lac_graph_input(graph, x, &err) != LAC_OK ||
        lac_graph_meta_set(graph, "lacuna.task", text, &err) != LAC_OK ||
        lac_graph_meta_set(graph, "lacuna.input.x", "{\"kind\": \"none\"}", &err) != LAC_OK)
        abort();
    json_t *tasks;
    if (lac_tasks_find(&tasks, graph, NULL, NULL, &err) == LAC_OK) {
        for (size_t i = 0; i < json_array_size(tasks); i++)
            preprocess(json_array_get(tasks, i));
        if (lac_tasks_keep(graph, tasks, &err) != LAC_OK)
            abort();
        json_decref(tasks);
    }
    lac_graph_free(graph);
    free(text);
    return 0;
}

/* The authors' public .net files (songhan/SqueezeNet-Deep-Compression and -AlexNet), as their
 * published decoder reads them: u32 entry counts of all layers; then per layer the codebook, the
 * biases, the codes, the 4-bit indices. The position of an entry in the row-major weight tensor is
 * the running sum of (index + 1), minus 1; code 0 is padding. */
#include "io/dcz.h"

#include <string.h>

#include "core/memory.h"

#define FILE_LIMIT ((size_t)1 << 36)

typedef struct reader {
    const uint8_t *data;
    size_t size, at;
    lac_error *err;
} reader;

static const uint8_t *take(reader *in, uint64_t n, int layer, const char *field)
{
    if (n > in->size - in->at) {
        lac_fail(in->err, LAC_ERROR_INPUT,
                 "layer %d: %s: %llu bytes needed at %zu, the file has %zu", layer, field,
                 (unsigned long long)n, in->at, in->size);
        return NULL;
    }
    const uint8_t *taken = in->data + in->at;
    in->at += (size_t)n;
    return taken;
}

static uint32_t le32(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

static void le_floats(float *to, const uint8_t *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = le32(from + 4 * i);
        memcpy(&to[i], &bits, sizeof bits);
    }
}

static lac_status scatter(reader *in, lac_net_layer *layer, int number, const uint8_t *code,
                          const uint8_t *index)
{
    int64_t count = lac_tensor_count(&layer->weights), at = -1;
    float *weight = layer->weights.data;
    for (int64_t e = 0; e < layer->entries; e++) {
        int shift = (int)(e % 2 * 4);
        int c = layer->conv ? code[e] : code[e / 2] >> shift & 15;
        at += (index[e / 2] >> shift & 15) + 1;
        if (at >= count)
            return lac_fail(in->err, LAC_ERROR_INPUT,
                            "layer %d: entry %lld is at position %lld, the layer has %lld weights",
                            number, (long long)e, (long long)at, (long long)count);
        if (c == 0)
            continue;
        weight[at] = layer->codebook[c];
        layer->nonzeros++;
    }
    return LAC_OK;
}

static lac_status read_layer(reader *in, lac_net_layer *layer, int number)
{
    int codes = layer->conv ? 256 : 16;
    const uint8_t *codebook = take(in, 4 * (uint64_t)codes, number, "codebook");
    const uint8_t *bias = codebook ? take(in, 4 * (uint64_t)layer->dims[0], number, "bias") : NULL;
    uint64_t n = (uint64_t)layer->entries;
    const uint8_t *code = bias ? take(in, layer->conv ? n : (n + 1) / 2, number, "codes") : NULL;
    const uint8_t *index = code ? take(in, (n + 1) / 2, number, "indices") : NULL;
    if (!index)
        return LAC_ERROR_INPUT;
    le_floats(layer->codebook, codebook, codes);
    LAC_TRY(lac_tensor_make(&layer->bias, LAC_F32, 1, layer->dims, in->err));
    le_floats(layer->bias.data, bias, layer->dims[0]);
    LAC_TRY(lac_tensor_make(&layer->weights, LAC_F32, layer->rank, layer->dims, in->err));
    return scatter(in, layer, number, code, index);
}

static lac_status parse(reader *in, lac_net_layer *layer, int layers)
{
    const uint8_t *counts = take(in, 4 * (uint64_t)layers, 0, "entry counts");
    if (!counts)
        return LAC_ERROR_INPUT;
    for (int i = 0; i < layers; i++) {
        int64_t count;
        if (layer[i].rank < 2 || layer[i].rank > 4)
            return lac_fail(in->err, LAC_ERROR_INPUT, "layer %d: rank %d, must be 2 to 4", i,
                            layer[i].rank);
        LAC_TRY(lac_shape_count(layer[i].rank, layer[i].dims, &count, in->err));
        layer[i].entries = le32(counts + 4 * i);
        LAC_TRY(read_layer(in, &layer[i], i));
    }
    if (in->at != in->size)
        return lac_fail(in->err, LAC_ERROR_INPUT, "%zu bytes behind the last layer",
                        in->size - in->at);
    return LAC_OK;
}

lac_status lac_net_parse(lac_net_layer *layer, int layers, const void *data, size_t bytes,
                         const char *name, lac_error *err)
{
    reader in = {data, bytes, 0, err};
    if (layers < 0)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: %d layers", name, layers);
    for (int i = 0; i < layers; i++) {
        layer[i].entries = layer[i].nonzeros = 0;
        memset(layer[i].codebook, 0, sizeof layer[i].codebook);
        memset(&layer[i].weights, 0, sizeof layer[i].weights);
        memset(&layer[i].bias, 0, sizeof layer[i].bias);
    }
    lac_status status = parse(&in, layer, layers);
    if (status == LAC_OK)
        return LAC_OK;
    for (int i = 0; i < layers; i++) {
        lac_tensor_release(&layer[i].weights);
        lac_tensor_release(&layer[i].bias);
    }
    return lac_fail_in(err, status, "%s", name);
}

lac_status lac_net_load(lac_net_layer *layer, int layers, const char *path, lac_error *err)
{
    char *data;
    size_t bytes;
    LAC_TRY(lac_read_file(&data, &bytes, path, FILE_LIMIT, err));
    lac_status status = lac_net_parse(layer, layers, data, bytes, path, err);
    lac_free(data);
    return status;
}

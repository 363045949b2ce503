/* See geometry.h. */
#include "cpu/geometry.h"

#include "graph/layer_conv.h"

#include <string.h>

bool lac_conv_geometry_of(const lac_layer *layer, lac_conv_geometry *g)
{
    const char *kind = layer->kind ? layer->kind->row.name : "";
    memset(g, 0, sizeof *g);
    g->groups = g->r = g->s = g->stride_h = g->stride_w = g->dilation_h = g->dilation_w = 1;
    g->batch = g->h = g->p = 1;
    if (strcmp(kind, "gemm") == 0) {
        int64_t batch = lac_layer_dim_get(layer, "batch");
        g->w = g->q = lac_layer_dim_get(layer, "m") * batch;
        g->c = lac_layer_dim_get(layer, "k");
        g->k = lac_layer_dim_get(layer, "n");
        return batch == 1 || lac_tensor_count(&layer->operand[LAC_ROLE_WEIGHTS].tensor) ==
                                 g->c * g->k; /* one matrix for all */
    }
    if (strcmp(kind, "conv") != 0)
        return false;
    lac_conv c = lac_conv_of(layer);
    *g = (lac_conv_geometry){.batch = c.batch,
                             .c = c.c,
                             .h = c.h,
                             .w = c.w,
                             .k = c.k,
                             .r = c.r,
                             .s = c.s,
                             .groups = c.groups,
                             .stride_h = c.stride_h,
                             .stride_w = c.stride_w,
                             .dilation_h = c.dilation_h,
                             .dilation_w = c.dilation_w,
                             .pad_top = c.pad_top,
                             .pad_left = c.pad_left,
                             .pad_bottom = c.pad_bottom,
                             .pad_right = c.pad_right,
                             .p = c.out_h,
                             .q = c.out_w};
    return true;
}

bool lac_attention_geometry_of(const lac_layer *layer, lac_attention_geometry *g)
{
    const lac_tensor *mask = &layer->operand[LAC_ROLE_MASK].tensor;
    if (!layer->kind || strcmp(layer->kind->row.name, "attention") != 0)
        return false;
    memset(g, 0, sizeof *g);
    g->tokens_first = layer->channels_last;
    g->batch = lac_layer_dim_get(layer, "batch");
    g->heads = lac_layer_dim_get(layer, "heads");
    g->tokens = lac_layer_dim_get(layer, "tokens");
    g->keys = lac_layer_dim_get(layer, "kv_tokens");
    g->dim = g->value_dim = lac_layer_dim_get(layer, "dim");
    if (mask->dtype != LAC_NONE) {
        /* The mask broadcasts against [batch][heads][tokens][keys] from the right. */
        int64_t full[4] = {g->batch, g->heads, g->tokens, g->keys}, stride[4] = {0}, step = 1;
        if (mask->rank > 4 || mask->dtype != LAC_F32)
            return false;
        for (int i = 3, d = mask->rank - 1; d >= 0; i--, d--) {
            if (mask->dims[d] != 1 && mask->dims[d] != full[i])
                return false;
            stride[i] = mask->dims[d] == 1 ? 0 : step;
            step *= mask->dims[d];
        }
        g->mask_batch = stride[0];
        g->mask_head = stride[1];
        g->mask_row = stride[2];
        g->mask_col = stride[3];
    }
    return true;
}

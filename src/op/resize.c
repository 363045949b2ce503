/* Resize and Upsample. Every mode is separable: along each axis an output index reads up to four
 * input indices with weights; axes are done one after the other. */
#include "op/nn.h"

#include "core/memory.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { TAPS = 4 };
typedef enum mode { NEAREST, LINEAR, CUBIC } mode;

typedef struct plan {
    mode mode;
    const char *transform, *nearest;
    bool exclude_outside;
    float cubic_a, extrapolation;
    int64_t out[LAC_MAX_RANK];
    double scale[LAC_MAX_RANK], length[LAC_MAX_RANK]; /* length: out, before it became whole */
    const lac_tensor *roi;
} plan;

typedef struct tap {
    int64_t at[TAPS];
    float weight[TAPS];
    bool outside; /* takes the extrapolation value */
} tap;

static bool one_of(const char *word, const char *words)
{
    size_t n = strlen(word);
    for (const char *p = strstr(words, word); n && p; p = strstr(p + 1, word))
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return true;
    return false;
}

static lac_status modes(const lac_call *call, plan *p, lac_error *err)
{
    const lac_node *node = call->node;
    bool simple = call->opset < 11 || strcmp(node->op, "Upsample") == 0;
    const char *name = lac_node_string(node, "mode", "nearest");
    p->transform = lac_node_string(node, "coordinate_transformation_mode",
                                   simple ? "asymmetric" : "half_pixel");
    p->nearest = lac_node_string(node, "nearest_mode", simple ? "floor" : "round_prefer_floor");
    p->exclude_outside = lac_node_int(node, "exclude_outside", 0) != 0;
    p->cubic_a = lac_node_float(node, "cubic_coeff_a", -0.75F);
    p->extrapolation = lac_node_float(node, "extrapolation_value", 0);
    if (!one_of(name, "nearest linear bilinear cubic"))
        return lac_fail(err, LAC_ERROR_INPUT, "mode is '%.40s', want nearest, linear or cubic",
                        name);
    p->mode = name[0] == 'n' ? NEAREST : name[0] == 'c' ? CUBIC : LINEAR;
    if (!one_of(p->transform, "half_pixel pytorch_half_pixel align_corners asymmetric "
                              "tf_half_pixel_for_nn tf_crop_and_resize"))
        return lac_fail(err, LAC_ERROR_INPUT, "coordinate_transformation_mode is '%.40s'",
                        p->transform);
    if (!one_of(p->nearest, "round_prefer_floor round_prefer_ceil floor ceil"))
        return lac_fail(err, LAC_ERROR_INPUT, "nearest_mode is '%.40s'", p->nearest);
    return LAC_OK;
}

/* A vector of `rank` numbers; LAC_OK with *list NULL where it is absent or empty. */
static lac_status vector(const lac_call *call, int i, const char *name, int64_t want,
                         const lac_tensor **list, lac_error *err)
{
    const lac_tensor *tensor = lac_op_in(call, i);
    *list = NULL;
    if (!tensor || (tensor->rank == 1 && tensor->dims[0] == 0))
        return LAC_OK;
    LAC_TRY(lac_nn_shape(call, i, 1, &want, name, err));
    if (!tensor->data)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "shape depends on data of input '%s'", name);
    *list = tensor;
    return LAC_OK;
}

static lac_status read(const lac_call *call, plan *p, lac_error *err)
{
    const lac_tensor *x = call->in[0], *scales, *sizes = NULL;
    bool simple = call->opset < 11 || strcmp(call->node->op, "Upsample") == 0;
    const lac_attr *old = lac_node_attr(call->node, "scales"); /* Upsample before opset 9 */
    memset(p, 0, sizeof *p);
    LAC_TRY(modes(call, p, err));
    LAC_TRY(vector(call, simple ? 1 : 2, "scales", x->rank, &scales, err));
    if (!simple) {
        LAC_TRY(vector(call, 3, "sizes", x->rank, &sizes, err));
        if (strcmp(p->transform, "tf_crop_and_resize") == 0)
            LAC_TRY(vector(call, 1, "roi", 2 * (int64_t)x->rank, &p->roi, err));
    }
    bool listed = simple && old && old->type == LAC_ATTR_FLOATS && old->n == x->rank;
    if (!scales && !sizes && !listed)
        return lac_fail(err, LAC_ERROR_INPUT, "neither scales nor sizes are given");
    for (int i = 0; i < x->rank; i++) {
        if (sizes) {
            double size = lac_tensor_get(sizes, i);
            if (!(size >= 0 && size <= 2147483647.0))
                return lac_fail(err, LAC_ERROR_INPUT, "sizes[%d] is %g, outside 0..2^31-1", i,
                                size);
            p->out[i] = (int64_t)size;
            p->length[i] = size;
            p->scale[i] = x->dims[i] ? size / (double)x->dims[i] : 1;
        } else {
            p->scale[i] = listed ? (double)old->floats[i] : lac_tensor_get(scales, i);
            p->length[i] = p->scale[i] * (double)x->dims[i];
            if (!(p->scale[i] > 0 && p->length[i] <= 2147483647.0))
                return lac_fail(err, LAC_ERROR_INPUT,
                                "scales[%d] is %g for a size of %" PRId64
                                ": want above 0 and at most 2^31-1 outputs",
                                i, p->scale[i], x->dims[i]);
            p->out[i] = (int64_t)floor(p->length[i]);
        }
        if (x->dims[i] == 0 && p->out[i] > 0)
            return lac_fail(err, LAC_ERROR_INPUT, "dimension %d is empty, cannot become %" PRId64,
                            i, p->out[i]);
    }
    return LAC_OK;
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    plan p;
    LAC_TRY(lac_nn_count(call, 1, 4, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    LAC_TRY(read(call, &p, err));
    return lac_op_out(call, 0, call->in[0]->dtype, call->in[0]->rank, p.out, err);
}

static double coordinate(const plan *p, int axis, int rank, int64_t in, int64_t i)
{
    double x = (double)i, scale = p->scale[axis], length = p->length[axis];
    if (strcmp(p->transform, "asymmetric") == 0)
        return x / scale;
    if (strcmp(p->transform, "align_corners") == 0)
        return length == 1 ? 0 : x * (double)(in - 1) / (length - 1);
    if (strcmp(p->transform, "tf_half_pixel_for_nn") == 0)
        return (x + 0.5) / scale;
    if (strcmp(p->transform, "pytorch_half_pixel") == 0)
        return length > 1 ? (x + 0.5) / scale - 0.5 : 0;
    if (strcmp(p->transform, "half_pixel") == 0 || !p->roi)
        return (x + 0.5) / scale - 0.5;
    double start = lac_tensor_get(p->roi, axis), stop = lac_tensor_get(p->roi, rank + axis);
    double last = (double)(in - 1);
    return length > 1 ? start * last + x * (stop - start) * last / (length - 1)
                      : 0.5 * (start + stop) * last;
}

static int64_t clamp(double index, int64_t in)
{
    return index >= (double)(in - 1) ? in - 1 : index > 0 ? (int64_t)index : 0;
}

static void make_tap(const plan *p, int axis, int rank, int64_t in, int64_t i, tap *t)
{
    double x = coordinate(p, axis, rank, in, i), low = floor(x), f = x - low;
    memset(t, 0, sizeof *t);
    t->outside = p->roi && (x < 0 || x > (double)(in - 1));
    if (p->mode == NEAREST) {
        double n = strcmp(p->nearest, "floor") == 0               ? low
                   : strcmp(p->nearest, "ceil") == 0              ? ceil(x)
                   : strcmp(p->nearest, "round_prefer_ceil") == 0 ? floor(x + 0.5)
                                                                  : ceil(x - 0.5);
        t->at[0] = clamp(n, in);
        t->weight[0] = 1;
    } else if (p->mode == LINEAR) {
        t->at[0] = clamp(low, in);
        t->at[1] = clamp(low + 1, in);
        t->weight[0] = (float)(1 - f);
        t->weight[1] = (float)f;
    } else {
        double a = (double)p->cubic_a, sum = 0, w[TAPS];
        for (int k = 0; k < TAPS; k++) { /* Keys' kernel at distance d */
            double d = fabs(f - (k - 1)), at = low + k - 1;
            w[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1
                          : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
            if (p->exclude_outside && (at < 0 || at > (double)(in - 1)))
                w[k] = 0;
            sum += w[k];
            t->at[k] = clamp(at, in);
        }
        for (int k = 0; k < TAPS; k++)
            t->weight[k] = (float)(p->exclude_outside ? w[k] / sum : w[k]);
    }
}

/* [outer][in][inner] -> [outer][out][inner] */
static void along(const tap *taps, int count, const float *x, float *y, int64_t outer, int64_t in,
                  int64_t out, int64_t inner, float extrapolation)
{
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < out; i++, y += inner) {
            const tap *t = &taps[i];
            const float *plane = x + o * in * inner;
            for (int64_t j = 0; j < inner; j++) {
                float sum = t->weight[0] * plane[t->at[0] * inner + j];
                for (int k = 1; k < count; k++)
                    sum += t->weight[k] * plane[t->at[k] * inner + j];
                y[j] = t->outside ? extrapolation : sum;
            }
        }
}

static lac_status run_wide(const lac_call *call, lac_error *err)
{
    plan p;
    const lac_tensor *x = call->in[0];
    LAC_TRY(read(call, &p, err));
    lac_tensor now = lac_tensor_view(LAC_F32, x->rank, x->dims, x->data), next;
    int count = p.mode == NEAREST ? 1 : p.mode == LINEAR ? 2 : TAPS;
    for (int axis = x->rank - 1; axis >= 0 && lac_tensor_count(&call->out[0]); axis--) {
        if (p.out[axis] == x->dims[axis] && p.scale[axis] == 1 && !p.roi)
            continue;
        int64_t dims[LAC_MAX_RANK];
        memcpy(dims, now.dims, sizeof dims);
        dims[axis] = p.out[axis];
        tap *taps = lac_alloc((size_t)p.out[axis], sizeof *taps, err);
        lac_status status =
            taps ? lac_tensor_make(&next, LAC_F32, x->rank, dims, err) : LAC_ERROR_MEMORY;
        if (status == LAC_OK) {
            for (int64_t i = 0; i < p.out[axis]; i++)
                make_tap(&p, axis, x->rank, x->dims[axis], i, &taps[i]);
            along(taps, count, now.data, next.data, lac_op_product(now.dims, 0, axis),
                  x->dims[axis], p.out[axis], lac_op_product(now.dims, axis + 1, x->rank),
                  p.extrapolation);
        }
        lac_free(taps);
        lac_tensor_release(&now);
        LAC_TRY(status);
        now = next;
    }
    memcpy(call->out[0].data, now.data, lac_tensor_bytes(&call->out[0]));
    lac_tensor_release(&now);
    return LAC_OK;
}

static lac_status run(const lac_call *call, lac_error *err)
{
    /* read() wants scales and sizes as they are: only x may be converted, and they never have 16
     * bits */
    return lac_nn_widened(call, run_wide, err);
}

const lac_op lac_op_resize = {
    .row = LAC_ROW(lac_op, "Resize", "nearest, linear or cubic interpolation"),
    .domain = "",
    .since = 10,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "mode:string=nearest coordinate_transformation_mode:string nearest_mode:string "
                  "exclude_outside:int=0 cubic_coeff_a:float=-0.75 extrapolation_value:float=0",
    .infer = infer,
    .run = run,
};
const lac_op lac_op_upsample = {
    .row = LAC_ROW(lac_op, "Upsample", "nearest or linear interpolation (before opset 10)"),
    .domain = "",
    .since = 7,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "mode:string=nearest scales:floats",
    .infer = infer,
    .run = run,
};

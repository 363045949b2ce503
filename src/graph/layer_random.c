/* The bit-exact generator of synthetic tensors. splitmix64 adds a constant per draw, so the two
 * numbers of element i start at state s + 2 i G: every element can be drawn on its own, in any
 * order and on any thread. */
#include "graph/layer_tools.h"

#include "core/parallel.h"
#include "core/random.h"

typedef struct draw_job {
    int8_t *data;
    uint64_t state;
    const lac_operand *pattern;
    bool is_signed;
    int64_t length, inner;
} draw_job;

static lac_random at(const draw_job *job, int64_t element)
{
    return (lac_random){job->state + (uint64_t)element * 2 * UINT64_C(0x9E3779B97F4A7C15)};
}

static int8_t value_of(uint64_t r2, bool is_signed)
{
    int magnitude = 1 + (int)((r2 >> 32) % 127);
    return (int8_t)(is_signed && (r2 & 1) ? -magnitude : magnitude);
}

static void draw_density(void *context, int64_t begin, int64_t end)
{
    const draw_job *job = context;
    double density = job->pattern->density < 0 ? 1.0 : job->pattern->density;
    lac_random random = at(job, begin);
    for (int64_t i = begin; i < end; i++) {
        bool keep = lac_random_unit(&random) < density;
        uint64_t r2 = lac_random_next(&random);
        job->data[i] = keep ? value_of(r2, job->is_signed) : 0;
    }
}

/* One group of M along the length: the N largest r1, ties to the lower index. */
static void draw_group(const draw_job *job, int64_t first, int count)
{
    uint64_t r1[LAC_PATTERN_M_MAX], r2[LAC_PATTERN_M_MAX];
    for (int i = 0; i < count; i++) {
        lac_random random = at(job, first + i * job->inner);
        r1[i] = lac_random_next(&random);
        r2[i] = lac_random_next(&random);
    }
    for (int i = 0; i < count; i++) {
        int before = 0;
        for (int j = 0; j < count; j++)
            before += r1[j] > r1[i] || (r1[j] == r1[i] && j < i);
        job->data[first + i * job->inner] =
            before < job->pattern->n ? value_of(r2[i], job->is_signed) : 0;
    }
}

/* Indices run over [outer][inner]. */
static void draw_groups(void *context, int64_t begin, int64_t end)
{
    const draw_job *job = context;
    int64_t m = job->pattern->m;
    for (int64_t line = begin; line < end; line++) {
        int64_t first = line / job->inner * job->length * job->inner + line % job->inner;
        for (int64_t g = 0; g < job->length; g += m)
            draw_group(job, first + g * job->inner,
                       (int)(job->length - g < m ? job->length - g : m));
    }
}

lac_status lac_generate(lac_tensor *tensor, const lac_operand *pattern, uint64_t seed,
                        uint64_t role, bool is_signed, int rank, const int64_t *dims,
                        int64_t length, int64_t inner, lac_error *err)
{
    LAC_TRY(lac_tensor_make(tensor, LAC_I8, rank, dims, err));
    int64_t count = lac_tensor_count(tensor);
    draw_job job = {tensor->data, lac_random_stream(seed, role).state, pattern, is_signed, length,
                    inner};
    if (pattern->m > 1 && pattern->n < pattern->m)
        lac_parallel_for(count / length, 64, draw_groups, &job);
    else if (pattern->m)
        lac_parallel_for(count, 4096, draw_density,
                         &(draw_job){job.data, job.state, &(lac_operand){.density = 1}, is_signed,
                                     length, inner});
    else
        lac_parallel_for(count, 4096, draw_density, &job);
    return LAC_OK;
}

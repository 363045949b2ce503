/* EIE (Han et al., ISCA 2016, arXiv 1602.01528): products of a pruned, weight-shared matrix with
 * one activation vector at a time. Cycles: schedule.c. Arithmetic: here, by walking the encoded
 * entries of the columns whose activation is not zero. */
#include <lacuna/accel.h>
#include <string.h>

#include "accel/eie/mapping.h"
#include "accel/eie/reproduce.h"
#include "accel/eie/schedule.h"
#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

/* Products run in this many shares, each with a scratch of its own. */
#define SHARES 16

static const lac_param eie_params[] = {
    {"pe", LAC_PARAM_INT, "", 64, 1, LAC_EIE_MAX_PE, NULL, NULL, LAC_PUBLISHED,
     "authors' public simulator, default", "processing elements; PE p owns the rows i mod pe = p"},
    {"clk", LAC_PARAM_REAL, "MHz", 800, 1, 100000, NULL, NULL, LAC_DERIVED,
     "102 GOP/s of the abstract = 64 * 2 * 0.8 GHz; confirmed by the time of AlexNet FC8", "clock"},
    {"fifo", LAC_PARAM_INT, "entries", 8, 2, 65536, NULL, NULL, LAC_PUBLISHED,
     "depth 8 published; ring semantics from the authors' simulator",
     "slots of an activation queue; full at fifo - 1 entries"},
    {"unit", LAC_PARAM_INT, "entries", 8, 1, 65536, NULL, NULL, LAC_PUBLISHED,
     "authors' public simulator, default (64-bit line)", "entries of a SpMat SRAM line"},
    {"jump", LAC_PARAM_INT, "rows", 16, 2, 256, NULL, NULL, LAC_PUBLISHED,
     "authors' public simulator (4-bit run)", "largest run + 1: a power of two"},
    {"bias", LAC_PARAM_INT, "", 0, 0, 1, NULL, NULL, LAC_ASSUMED,
     "the authors' simulator has 1; 0 so that layers without bias cost nothing",
     "1: a last group holds one activation of value 1, its column is the bias"},
    {"spmat_sram", LAC_PARAM_INT, "KiB", 128, 1, 1 << 20, NULL, NULL, LAC_FROM_MEMORY,
     "EIE, ISCA 2016", "SpMat SRAM of a PE; only for the counter over_capacity"},
    {"ptr_sram", LAC_PARAM_INT, "KiB", 32, 1, 1 << 20, NULL, NULL, LAC_FROM_MEMORY,
     "EIE, ISCA 2016", "pointer SRAM of a PE; only for the counter over_capacity"},
    {"act_sram", LAC_PARAM_INT, "KiB", 2, 1, 1 << 20, NULL, NULL, LAC_FROM_MEMORY, "EIE, ISCA 2016",
     "activation SRAM of a PE; only for the counter over_capacity"},
    {"acc16", LAC_PARAM_INT, "", 0, 0, 1, NULL, NULL, LAC_ASSUMED,
     "the paper says 16-bit fixed point, no more",
     "1: products rounded from Q3.12 * Q8.8 to Q8.8, 16-bit saturating sums"},
    {"compat", LAC_PARAM_INT, "", 0, 0, 1, NULL, NULL, LAC_OPTION, "authors' public simulator",
     "1: its premature stop on very thin layers"},
    {0}};

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* The encoded entries, column by column: what the PEs find when they walk it. */
typedef struct columns {
    int64_t *begin; /* [cols + 1] */
    int32_t *row;
    uint8_t *code;
} columns;

static void columns_release(columns *c)
{
    lac_free(c->begin);
    lac_free(c->row);
    lac_free(c->code);
}

static lac_status columns_make(columns *c, const lac_eie_csc *csc, lac_error *err)
{
    c->begin = lac_alloc((size_t)csc->cols + 1, sizeof(int64_t), err);
    c->row = lac_alloc_raw((size_t)csc->nonzeros, sizeof(int32_t), err);
    c->code = lac_alloc_raw((size_t)csc->nonzeros, 1, err);
    if (!c->begin || !c->row || !c->code)
        return LAC_ERROR_MEMORY;
    int64_t n = 0;
    for (int64_t j = 0; j < csc->cols; j++) {
        c->begin[j] = n;
        for (int64_t p = 0; p < csc->pe; p++) {
            const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
            int64_t r = -1;
            for (int64_t e = csc->first[p] + pointer[j]; e < csc->first[p] + pointer[j + 1]; e++) {
                r += csc->run[e] + 1;
                if (csc->code[e] == 0)
                    continue;
                c->row[n] = (int32_t)(r * csc->pe + p);
                c->code[n++] = csc->code[e];
            }
        }
    }
    c->begin[csc->cols] = n;
    return LAC_OK;
}

/* One product in Q8.8, the sum saturated to 16 bits (dossier 4.7). */
static int32_t add16(int32_t sum, int32_t product)
{
    int32_t to = sum + ((product + 2048) >> 12);
    return to > INT16_MAX ? INT16_MAX : to < INT16_MIN ? INT16_MIN : to;
}

/* y[rows] of one product by walking the columns of `column[0..n)`. */
static void walk_columns(const columns *c, const int32_t *codebook, const int32_t *column,
                         int64_t n, const int32_t *value, bool acc16, int32_t *y, int64_t rows)
{
    memset(y, 0, (size_t)rows * sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        int64_t j = column[i];
        int32_t product[16];
        for (int v = 0; v < 16; v++) /* at most 32768 * 32768: int16 operands */
            product[v] = codebook[v] * value[j];
        for (int64_t e = c->begin[j]; e < c->begin[j + 1]; e++) {
            int32_t *to = &y[c->row[e]], add = product[c->code[e]];
            *to = acc16 ? add16(*to, add) : (int32_t)((uint32_t)*to + (uint32_t)add);
        }
    }
}

/* The reference of the number format: row by row over the matrix before encoding. */
LAC_CLONES
static int32_t dense_row(const int16_t *weight, const int32_t *value, int64_t n)
{
    uint32_t sum = 0;
    for (int64_t j = 0; j < n; j++)
        sum += (uint32_t)(weight[j] * value[j]);
    return (int32_t)sum;
}

static int32_t dense_row16(const int16_t *weight, const int32_t *value, int64_t n)
{
    int32_t sum = 0;
    for (int64_t j = 0; j < n; j++)
        sum = add16(sum, weight[j] * value[j]);
    return sum;
}

/* ---- one layer ------------------------------------------------------------------------------- */

typedef struct layer_job {
    const lac_eie_problem *problem;
    const lac_eie_image *image;
    const columns *columns;
    const int16_t *dense; /* [rows][cols]; NULL: no comparison */
    int32_t *output;      /* NULL: schedule only */
    bool acc16;
    int64_t shares;
    struct {
        lac_eie_scratch scratch;
        lac_eie_counts sum;
        int32_t *value, *y;
        bool differs;
    } share[SHARES];
} layer_job;

static void add_counts(lac_eie_counts *sum, const lac_eie_counts *more)
{
    sum->cycles += more->cycles;
    sum->groups += more->groups;
    sum->acts += more->acts;
    sum->macs += more->macs;
    sum->pad += more->pad;
    sum->empty_col += more->empty_col;
    sum->blocked += more->blocked;
    sum->spm_reads += more->spm_reads;
}

static void run_product(layer_job *job, int64_t s, int64_t q)
{
    const lac_eie_problem *problem = job->problem;
    int32_t *value = job->share[s].value, *y = job->share[s].y;
    lac_eie_counts counts;
    lac_eie_vector(problem, q, value);
    lac_eie_schedule(job->image, &job->share[s].scratch, value, &counts);
    add_counts(&job->share[s].sum, &counts);
    if (!job->output)
        return;
    walk_columns(job->columns, problem->codebook, job->share[s].scratch.column, counts.acts, value,
                 job->acc16, y, problem->rows);
    for (int64_t i = 0; i < problem->rows; i++) {
        job->output[lac_eie_place(&problem->to, q, i)] = y[i];
        if (!job->dense)
            continue;
        const int16_t *row = job->dense + i * problem->cols;
        int32_t want = job->acc16 ? dense_row16(row, value, problem->cols)
                                  : dense_row(row, value, problem->cols);
        job->share[s].differs |= want != y[i];
    }
}

static void run_shares(void *context, int64_t begin, int64_t end)
{
    layer_job *job = context;
    for (int64_t s = begin; s < end; s++)
        for (int64_t q = job->problem->products * s / job->shares;
             q < job->problem->products * (s + 1) / job->shares; q++)
            run_product(job, s, q);
}

static lac_status run_job(layer_job *job, lac_eie_counts *sum, bool *exact, lac_error *err)
{
    lac_status status = LAC_OK;
    job->shares = job->problem->products < SHARES ? job->problem->products : SHARES;
    for (int64_t s = 0; s < job->shares && status == LAC_OK; s++) {
        status = lac_eie_scratch_make(&job->share[s].scratch, job->image, err);
        if (status != LAC_OK)
            break;
        job->share[s].value = lac_alloc((size_t)job->problem->cols, sizeof(int32_t), err);
        job->share[s].y = lac_alloc((size_t)job->problem->rows, sizeof(int32_t), err);
        if (!job->share[s].value || !job->share[s].y)
            status = LAC_ERROR_MEMORY;
    }
    if (status == LAC_OK)
        lac_parallel_for(job->shares, 1, run_shares, job);
    *exact = job->output && job->dense;
    memset(sum, 0, sizeof *sum);
    for (int64_t s = 0; s < job->shares; s++) {
        add_counts(sum, &job->share[s].sum);
        *exact = *exact && !job->share[s].differs;
        lac_eie_scratch_release(&job->share[s].scratch);
        lac_free(job->share[s].value);
        lac_free(job->share[s].y);
    }
    return status;
}

/* Runs all products; fills result->output and exact. */
static lac_status run_layer(const lac_eie_problem *problem, const lac_eie_image *image, bool acc16,
                            const lac_sim_options *options, lac_result *result, lac_eie_counts *sum,
                            lac_error *err)
{
    bool numerics = !options || !options->schedule_only;
    bool check = numerics && (!options || !options->no_check);
    int64_t count = problem->rows * problem->cols;
    columns walk = {0};
    int16_t *dense = NULL;
    lac_status status = LAC_OK;
    if (numerics) {
        status = lac_tensor_make(&result->output, LAC_I32, problem->rank, problem->dims, err);
        if (status == LAC_OK)
            status = columns_make(&walk, image->csc, err);
        result->has_output = status == LAC_OK;
    }
    if (check && status == LAC_OK) {
        dense = lac_alloc_raw((size_t)count, sizeof *dense, err);
        status = dense ? LAC_OK : LAC_ERROR_MEMORY;
        for (int64_t i = 0; i < count && dense; i++)
            dense[i] = (int16_t)problem->codebook[problem->codes[i]];
    }
    layer_job *work = status == LAC_OK ? lac_alloc(1, sizeof *work, err) : NULL;
    if (work) {
        *work = (layer_job){.problem = problem,
                            .image = image,
                            .columns = &walk,
                            .dense = dense,
                            .output = result->output.data,
                            .acc16 = acc16};
        status = run_job(work, sum, &result->exact, err);
    } else if (status == LAC_OK) {
        status = LAC_ERROR_MEMORY;
    }
    lac_free(work);
    lac_free(dense);
    columns_release(&walk);
    return status;
}

/* ---- figures --------------------------------------------------------------------------------- */

/* LNZD nodes: a quadtree over the PEs, 16 + 4 + 1 for 64 (0 for one PE). */
static int64_t lnzd_nodes(int64_t pe)
{
    int64_t nodes = 0;
    while (pe > 1) {
        pe = (pe + 3) / 4;
        nodes += pe;
    }
    return nodes;
}

/* Power of one PE, 45 nm, mW; the parts add up to the 9.157 of the total row. */
static const struct {
    const char *part;
    double mw;
} pe_power[] = {
    {"memory", 5.416}, {"clock network", 1.874}, {"register", 1.026}, {"combinational", 0.841}};
#define LNZD_MW     0.023
#define POWER_TABLE "EIE, power table of one PE, 45 nm, from memory; power times time"

double lac_eie_power_mw(int64_t pe)
{
    double sum = 0;
    for (size_t i = 0; i < sizeof pe_power / sizeof *pe_power; i++)
        sum += pe_power[i].mw;
    return (double)pe * sum + (double)lnzd_nodes(pe) * LNZD_MW;
}

double lac_eie_area_mm2(int64_t pe)
{
    return ((double)pe * 638024 + (double)lnzd_nodes(pe) * 189) * 1e-6; /* EIE, area table, um2 */
}

static void put_energy(lac_result *result, const lac_params *params)
{
    double microseconds = (double)result->cycles / lac_params_real(params, "clk");
    int64_t pe = lac_params_int(params, "pe");
    for (size_t i = 0; i < sizeof pe_power / sizeof *pe_power; i++) /* mW * us = 1000 pJ */
        lac_result_energy(result, pe_power[i].part,
                          1000 * microseconds * (double)pe * pe_power[i].mw, POWER_TABLE);
    lac_result_energy(result, "lnzd", 1000 * microseconds * (double)lnzd_nodes(pe) * LNZD_MW,
                      POWER_TABLE);
}

static bool over_capacity(const lac_eie_csc *csc, const lac_params *params, int64_t fullest,
                          int64_t groups)
{
    int index_bits = 1; /* entries are kept as codes of 4 bits and runs */
    while (1 << index_bits < csc->jump)
        index_bits++;
    return fullest * (4 + index_bits) > lac_params_int(params, "spmat_sram") * 8192 ||
           (csc->cols + 1) * 2 > lac_params_int(params, "ptr_sram") * 1024 ||
           groups * 2 > lac_params_int(params, "act_sram") * 1024;
}

static void put_counts(lac_result *result, const lac_eie_csc *csc, const lac_eie_problem *problem,
                       const lac_eie_counts *sum, const lac_params *params)
{
    int64_t pe = csc->pe, fullest = 0;
    int64_t idle = pe * sum->cycles - sum->macs - sum->pad - sum->empty_col;
    for (int64_t p = 0; p < pe; p++)
        if (csc->first[p + 1] - csc->first[p] > fullest)
            fullest = csc->first[p + 1] - csc->first[p];
    result->cycles = sum->cycles;
    result->effectual_macs = sum->macs;
    result->multipliers = pe;
    result->dram_bytes = 0; /* all weights stay on chip */
    result->sram_bytes =
        sum->spm_reads * lac_params_int(params, "unit") + sum->acts * pe * 4 + sum->groups * pe * 2;
    lac_result_count(result, "nonzeros", csc->nonzeros);
    lac_result_count(result, "entries", csc->entries);
    lac_result_count(result, "acts", sum->acts);
    lac_result_count(result, "macs", sum->macs);
    lac_result_count(result, "blocked", sum->blocked);
    lac_result_count(result, "spm_reads", sum->spm_reads);
    lac_result_count(result, "ptr_reads", sum->acts * pe);
    lac_result_count(result, "act_group_reads", sum->groups);
    lac_result_count(result, "queue_pushes", sum->acts * pe);
    lac_result_count(result, "codebook_reads", sum->macs + sum->pad);
    lac_result_count(result, "fullest_pe_entries", fullest);
    lac_result_count(result, "ptr_bits", lac_eie_csc_pointer_bits(csc));
    lac_result_count(result, "over_capacity",
                     over_capacity(csc, params, fullest, sum->groups / problem->products));
    lac_result_count(result, "linear_codebook", problem->requantised);
    /* Counters too; in PE-cycles: they and `macs` fill pe * cycles. */
    lac_result_stall(result, "pad", sum->pad);
    lac_result_stall(result, "empty_col", sum->empty_col);
    lac_result_stall(result, "idle", idle);
}

static lac_status simulate_problem(const lac_eie_problem *problem, const lac_params *params,
                                   const lac_sim_options *options, lac_result *result,
                                   lac_error *err)
{
    lac_eie_csc csc;
    lac_eie_image image = {0};
    lac_eie_counts sum;
    LAC_TRY(lac_eie_csc_encode(&csc, problem->codes, problem->rows, problem->cols,
                               lac_params_int(params, "pe"), (int)lac_params_int(params, "jump"),
                               err));
    lac_status status = lac_eie_image_make(
        &image, &csc, problem->in, problem->bias, (int)lac_params_int(params, "fifo"),
        (int)lac_params_int(params, "unit"), lac_params_int(params, "compat") != 0, err);
    if (status == LAC_OK)
        status = run_layer(problem, &image, lac_params_int(params, "acc16") != 0, options, result,
                           &sum, err);
    if (status == LAC_OK) {
        put_counts(result, &csc, problem, &sum, params);
        put_energy(result, params);
    }
    lac_eie_image_release(&image);
    lac_eie_csc_release(&csc);
    return status;
}

static lac_status simulate(const lac_layer *layer, const lac_params *params,
                           const lac_sim_options *options, lac_result *result, lac_error *err)
{
    lac_eie_problem problem;
    int64_t jump = lac_params_int(params, "jump");
    if (jump & (jump - 1))
        return lac_fail(err, LAC_ERROR_INPUT, "jump = %lld, must be a power of two (2^index bits)",
                        (long long)jump);
    LAC_TRY(lac_eie_map(&problem, layer, lac_params_int(params, "bias") != 0, err));
    lac_status status = simulate_problem(&problem, params, options, result, err);
    lac_eie_problem_release(&problem);
    result->macs = layer->kind->macs(layer);
    return status;
}

static bool supports(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    (void)params;
    return lac_eie_supports(layer, why, why_size);
}

static double clock_mhz(const lac_params *params)
{
    return lac_params_real(params, "clk");
}

const lac_accel lac_accel_eie = {
    .row = LAC_ROW(lac_accel, "eie", "EIE: sparse matrix times sparse vector on shared weights"),
    .title = "EIE: efficient inference engine on compressed deep neural network",
    .source = "S. Han et al., ISCA 2016, arXiv 1602.01528; cycle rules from the authors' public "
              "simulator RalphMao/EIE-simulator",
    .card =
        "Modelled: activation groups and leading non-zero detection, queues, pointer and SpMat "
        "reads, "
        "padding, forwarding-free accumulation, every cycle as the authors' simulator (AlexNet "
        "FC8: "
        "7,926 cycles, the paper's 9.9 us).\n"
        "Numbers: 16 shared weights per layer, code 0 is zero. Weights with at most 15 distinct "
        "non-zero values keep them; others, and all synthetic layers, are shared by the integer "
        "linear codebook over their range (counter linear_codebook = 1 for a captured layer). Sums "
        "are int32; acc16=1 gives the 16-bit fixed point.\n"
        "Mapping: fc, gemm and lstm one product per row or step, 1x1 convolutions one per pixel. "
        "Products follow each other cold.\n"
        "Left out: loading of the weights (all on chip), activation batches above 4K inputs, the "
        "Huffman code (disk only). Energy is power times time; SRAM capacities are only reported.\n"
        "sram_bytes = SpMat lines, pointer pairs and activation groups read.",
    .params = eie_params,
    .clock_mhz = clock_mhz,
    .identity = "macs + pad + empty_col + idle = pe * cycles",
    .supports = supports,
    .simulate = simulate,
    .reproduce = lac_eie_reproduce,
};

/* k-means in one dimension. The values are sorted once; while the centroids ascend, one forward
 * walk assigns all values. They always do when they begin distinct (a mean lies inside its cell);
 * an empty cell that begins equal to another can be overtaken, and then all are compared. */
#include "format/share.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/random.h"

#define LLOYD_ITERATIONS 100
#define LLOYD_STILL      1e-12

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static lac_status sorted_copy(const double *value, int64_t n, double **sorted, lac_error *err)
{
    *sorted = lac_alloc_raw((size_t)n, sizeof(double), err);
    if (!*sorted)
        return LAC_ERROR_MEMORY;
    if (n > 0)
        memcpy(*sorted, value, (size_t)n * sizeof(double));
    qsort(*sorted, (size_t)n, sizeof(double), compare_doubles);
    return LAC_OK;
}

static lac_status check_values(const double *value, int64_t n, int k, lac_error *err)
{
    if (k < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "weight sharing: k = %d, must be at least 1", k);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(value[i]))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "weight sharing: value %lld is %f, must be finite", (long long)i,
                            value[i]);
    return LAC_OK;
}

/* Draws positions until k distinct values are found; `sorted` proves that there are so many. */
static lac_status begin_forgy(const double *value, const double *sorted, int64_t n, int k,
                              uint64_t seed, double *centroid, lac_error *err)
{
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; i++)
        distinct += i == 0 || sorted[i] != sorted[i - 1];
    if (distinct < k)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "weight sharing: forgy needs %d distinct values, the layer has %lld", k,
                        (long long)distinct);
    lac_random random = lac_random_stream(seed, 10);
    for (int found = 0; found < k;) {
        double drawn = value[lac_random_next(&random) % (uint64_t)n];
        bool taken = false;
        for (int i = 0; i < found && !taken; i++)
            taken = centroid[i] == drawn;
        if (!taken)
            centroid[found++] = drawn;
    }
    qsort(centroid, (size_t)k, sizeof(double), compare_doubles);
    return LAC_OK;
}

lac_status lac_share_begin(lac_share_start start, const double *value, int64_t n, int k,
                           uint64_t seed, double *centroid, lac_error *err)
{
    LAC_TRY(check_values(value, n, k, err));
    if (n == 0) {
        for (int i = 0; i < k; i++)
            centroid[i] = 0;
        return LAC_OK;
    }
    if (start == LAC_SHARE_LINEAR) {
        double lo = value[0], hi = value[0];
        for (int64_t i = 1; i < n; i++) {
            lo = value[i] < lo ? value[i] : lo;
            hi = value[i] > hi ? value[i] : hi;
        }
        for (int i = 0; i < k; i++)
            centroid[i] = k == 1 ? lo : lo + (hi - lo) * i / (k - 1);
        return LAC_OK;
    }
    double *sorted;
    LAC_TRY(sorted_copy(value, n, &sorted, err));
    lac_status status = LAC_OK;
    if (start == LAC_SHARE_DENSITY) {
        int64_t parts = 2 * (int64_t)k, whole = n / parts, rest = n % parts;
        for (int i = 0; i < k; i++) /* floor((2i + 1) n / 2k) without a product that overflows */
            centroid[i] = sorted[(2 * i + 1) * whole + (2 * i + 1) * rest / parts];
    } else {
        status = begin_forgy(value, sorted, n, k, seed, centroid, err);
    }
    lac_free(sorted);
    return status;
}

int lac_share_nearest(const double *centroid, int k, double value)
{
    int best = 0;
    for (int i = 1; i < k; i++)
        if (fabs(value - centroid[i]) < fabs(value - centroid[best]))
            best = i;
    return best;
}

/* The same for ascending centroids, given the answer `cell` for a smaller value: the distances
 * fall, then rise. */
static int nearest_from(const double *centroid, int k, double value, int cell)
{
    double best = fabs(value - centroid[cell]), before = best;
    for (int next = cell + 1; next < k; next++) {
        double distance = fabs(value - centroid[next]);
        if (distance > before)
            break;
        if (distance < best) {
            best = distance;
            cell = next;
        }
        before = distance;
    }
    return cell;
}

static void assign(const double *sorted, int64_t n, const double *centroid, int k, int64_t *members,
                   double *sum)
{
    bool ascending = true;
    for (int i = 1; i < k; i++)
        ascending = ascending && centroid[i - 1] <= centroid[i];
    memset(members, 0, (size_t)k * sizeof *members);
    memset(sum, 0, (size_t)k * sizeof *sum);
    int cell = 0;
    for (int64_t i = 0; i < n; i++) {
        cell = ascending ? nearest_from(centroid, k, sorted[i], cell)
                         : lac_share_nearest(centroid, k, sorted[i]);
        members[cell]++;
        sum[cell] += sorted[i];
    }
}

lac_status lac_share_lloyd(const double *value, int64_t n, int k, double *centroid, int *iterations,
                           lac_error *err)
{
    LAC_TRY(check_values(value, n, k, err));
    double *sorted = NULL;
    LAC_TRY(sorted_copy(value, n, &sorted, err));
    int64_t *members = lac_alloc((size_t)k, sizeof(int64_t), err);
    double *sum = lac_alloc((size_t)k, sizeof(double), err);
    lac_status status = members && sum ? LAC_OK : LAC_ERROR_MEMORY;
    int iteration = 0;
    for (bool moved = true; status == LAC_OK && moved && iteration < LLOYD_ITERATIONS;
         iteration++) {
        assign(sorted, n, centroid, k, members, sum);
        moved = false;
        for (int i = 0; i < k; i++) {
            if (members[i] == 0)
                continue;
            double mean = sum[i] / (double)members[i];
            moved = moved || fabs(mean - centroid[i]) > LLOYD_STILL;
            centroid[i] = mean;
        }
    }
    if (iterations)
        *iterations = iteration;
    lac_free(sorted);
    lac_free(members);
    lac_free(sum);
    return status;
}

static int32_t floor_div(int32_t a, int32_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

void lac_share_linear_codebook(int32_t lo, int32_t hi, int32_t codebook[16])
{
    codebook[0] = 0;
    for (int i = 0; i < LAC_LINEAR_CENTROIDS; i++)
        codebook[1 + i] = floor_div(lo * (14 - i) + hi * i + 7, 14);
}

int lac_share_linear_code(const int32_t codebook[16], int32_t value)
{
    if (value == 0)
        return 0;
    int best = 1;
    for (int code = 2; code <= LAC_LINEAR_CENTROIDS; code++)
        if (abs(value - codebook[code]) < abs(value - codebook[best]))
            best = code;
    return best;
}

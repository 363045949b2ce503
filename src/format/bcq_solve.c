/* See bcq_solve.h. Everything in float64, elements in ascending order, sign(0) = +. */
#include "format/bcq_solve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 1 << LAC_BCQ_PLANES };

/* A pivot below this times the group's length: the equations are singular. */
#define PIVOT_LEAST 1e-9

static double sign_of(uint8_t code, int plane)
{
    return code >> plane & 1 ? 1 : -1;
}

/* sum |r|, compensated (Neumaier). */
static double magnitude(const double *r, int count)
{
    double sum = 0, lost = 0;
    for (int t = 0; t < count; t++) {
        double x = fabs(r[t]), next = sum + x;
        lost += fabs(sum) >= x ? (sum - next) + x : (x - next) + sum;
        sum = next;
    }
    return sum + lost;
}

/* scale = (B^T B)^-1 B^T w by Gauss-Jordan with row pivots; false: singular, `scale` is kept. */
static bool least_squares(const double *w, const uint8_t *code, int count, int planes,
                          double *scale)
{
    double a[LAC_BCQ_PLANES][LAC_BCQ_PLANES + 1] = {{0}};
    for (int t = 0; t < count; t++)
        for (int i = 0; i < planes; i++) {
            for (int j = 0; j < planes; j++)
                a[i][j] += sign_of(code[t], i) * sign_of(code[t], j);
            a[i][planes] += sign_of(code[t], i) * w[t];
        }
    for (int i = 0; i < planes; i++) {
        int pivot = i;
        for (int r = i + 1; r < planes; r++)
            if (fabs(a[r][i]) > fabs(a[pivot][i]))
                pivot = r;
        if (fabs(a[pivot][i]) < PIVOT_LEAST * count)
            return false;
        for (int j = 0; j <= planes; j++) {
            double swap = a[i][j];
            a[i][j] = a[pivot][j];
            a[pivot][j] = swap;
        }
        for (int r = 0; r < planes; r++) {
            double factor = a[r][i] / a[i][i];
            for (int j = 0; r != i && j <= planes; j++)
                a[r][j] -= factor * a[i][j];
        }
    }
    for (int i = 0; i < planes; i++)
        scale[i] = a[i][planes] / a[i][i];
    return true;
}

static double value_of(const double *scale, int planes, uint8_t code)
{
    double value = 0;
    for (int i = 0; i < planes; i++)
        value += sign_of(code, i) * scale[i];
    return value;
}

static void one_by_one(const double *w, int count, int planes, bool refined, double *scale,
                       uint8_t *code)
{
    double left[LAC_BCQ_GROUP];
    memcpy(left, w, (size_t)count * sizeof *left);
    memset(code, 0, (size_t)count);
    for (int i = 0; i < planes; i++) {
        for (int t = 0; t < count; t++)
            code[t] |= (uint8_t)((left[t] >= 0) << i);
        if (!refined) {
            scale[i] = magnitude(left, count) / count;
            for (int t = 0; t < count; t++)
                left[t] -= scale[i] * sign_of(code[t], i);
            continue;
        }
        scale[i] = 0; /* stays where the equations are singular */
        least_squares(w, code, count, i + 1, scale);
        for (int t = 0; t < count; t++)
            left[t] = w[t] - value_of(scale, i + 1, code[t]);
    }
}

typedef struct level {
    double value;
    uint8_t code;
} level;

static int by_value(const void *a, const void *b)
{
    const level *x = a, *y = b;
    return x->value != y->value ? (x->value > y->value) - (x->value < y->value) : x->code - y->code;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The nearest level for every weight; below a midpoint the lower one. False: nothing changed. */
static bool reassign(const double *w, int count, int planes, const double *scale, uint8_t *code)
{
    level levels[VALUES];
    bool changed = false;
    for (int c = 0; c < 1 << planes; c++)
        levels[c] = (level){value_of(scale, planes, (uint8_t)c), (uint8_t)c};
    qsort(levels, (size_t)1 << planes, sizeof *levels, by_value);
    for (int t = 0; t < count; t++) {
        int at = 0;
        while (at + 1 < 1 << planes && w[t] >= (levels[at].value + levels[at + 1].value) / 2)
            at++;
        changed |= code[t] != levels[at].code;
        code[t] = levels[at].code;
    }
    return changed;
}

void lac_bcq_solve(lac_bcq_solver solver, const double *weight, int count, int planes,
                   int rounds_most, double *scale, uint8_t *code, int *rounds)
{
    int done = 0;
    one_by_one(weight, count, planes, solver == LAC_BCQ_REFINED, scale, code);
    while (solver == LAC_BCQ_ALTERNATING && done < rounds_most) {
        if (!least_squares(weight, code, count, planes, scale))
            break;
        done++;
        for (int i = 0; i < planes; i++)
            scale[i] = fabs(scale[i]);
        qsort(scale, (size_t)planes, sizeof *scale, descending);
        if (!reassign(weight, count, planes, scale, code))
            break;
    }
    if (rounds)
        *rounds = done;
}

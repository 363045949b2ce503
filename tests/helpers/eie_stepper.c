#include "helpers/eie_stepper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define QUEUE 64

/* What one PE holds at the start of a cycle. */
typedef struct element {
    int64_t queue[QUEUE]; /* columns, oldest first */
    int queued;
    int64_t column;   /* in PTR; -1: idle */
    uint32_t at, end; /* its next entry, and one behind its last */
    int64_t row;      /* local row, accumulated */
    int64_t line;     /* SpMat line of the entry before; -1: none */
} element;

typedef struct machine {
    const lac_eie_csc *csc;
    const int32_t *value, *codebook;
    int64_t in, groups;
    bool bias;
    int64_t group, found; /* held group (-1: none), position of its last hit */
    element *pe;
} machine;

/* The column at a position of the held group, or -1. */
static int64_t column_at(const machine *m, int64_t position)
{
    if (m->bias && m->group == m->groups - 1)
        return position == 0 ? m->in : -1;
    int64_t column = m->group * m->csc->pe + position;
    return column < m->in ? column : -1;
}

/* Position of the next non-zero of the held group, or -1. */
static int64_t next_hit(const machine *m)
{
    for (int64_t position = m->found + 1; position < m->csc->pe; position++) {
        int64_t column = column_at(m, position);
        if (column >= 0 && m->value[column] != 0)
            return position;
    }
    return -1;
}

static void load_group(machine *m)
{
    m->group++; /* past the last one nothing is held any more, and nothing found */
    m->found = -1;
}

/* PTR and what is behind it: one cycle of one PE on the state at its start. */
static void step_ptr(machine *m, int64_t p, int unit, int32_t *y, eie_steps *steps, bool *entry)
{
    element *pe = &m->pe[p];
    const lac_eie_csc *csc = m->csc;
    bool last = true; /* idle, or the last cycle of its column */
    if (pe->column >= 0 && pe->at == pe->end) {
        steps->empty_col++;
    } else if (pe->column >= 0) {
        int64_t e = csc->first[p] + pe->at;
        if (pe->at / (uint32_t)unit != pe->line)
            steps->spm_reads++;
        pe->line = pe->at / (uint32_t)unit;
        pe->row += csc->run[e] + 1;
        if (csc->code[e]) {
            steps->macs++;
            y[pe->row * csc->pe + p] += m->codebook[csc->code[e]] * m->value[pe->column];
        } else {
            steps->pad++;
        }
        *entry = true;
        last = ++pe->at == pe->end;
    }
    if (!last)
        return;
    pe->column = -1;
    if (pe->queued == 0)
        return;
    const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
    pe->column = pe->queue[0];
    pe->at = pointer[pe->column];
    pe->end = pointer[pe->column + 1];
    pe->row = -1;
    memmove(pe->queue, pe->queue + 1, (size_t)--pe->queued * sizeof *pe->queue);
    steps->ptr_reads++;
}

eie_steps eie_step(const lac_eie_csc *csc, int64_t in, bool bias, const int32_t *value,
                   const int32_t *codebook, int fifo, int unit, int32_t *y)
{
    machine m = {.csc = csc,
                 .value = value,
                 .codebook = codebook,
                 .in = in,
                 .bias = bias,
                 .group = -1,
                 .found = -1};
    eie_steps steps = {0};
    int64_t last_entry = -1, last_load = 0;
    m.groups = (in + csc->pe - 1) / csc->pe + bias;
    m.pe = calloc((size_t)csc->pe, sizeof *m.pe);
    assert_true(m.pe && fifo - 1 < QUEUE);
    for (int64_t p = 0; p < csc->pe; p++)
        m.pe[p].column = m.pe[p].line = -1;
    for (int64_t cycle = 0;; cycle++) {
        bool full = false, busy = false, entry = false, load = cycle == 0;
        int64_t push = -1;
        if (m.group == m.groups - 1 && last_load == 0)
            last_load = cycle;
        /* All units look at the state at the end of the cycle before. */
        for (int64_t p = 0; p < csc->pe; p++) {
            full = full || m.pe[p].queued >= fifo - 1;
            busy = busy || m.pe[p].queued > 0 || m.pe[p].column >= 0;
        }
        if (m.group >= m.groups && !busy)
            break;
        if (m.group >= 0 && m.group < m.groups) {
            int64_t hit = next_hit(&m);
            if (hit >= 0 && full) {
                steps.blocked++;
            } else if (hit >= 0) {
                push = column_at(&m, hit);
                m.found = hit;
                steps.acts++;
                load = hit == csc->pe - 1;
            } else {
                load = true;
            }
        }
        for (int64_t p = 0; p < csc->pe; p++)
            step_ptr(&m, p, unit, y, &steps, &entry);
        if (entry)
            last_entry = cycle;
        for (int64_t p = 0; p < csc->pe && push >= 0; p++)
            m.pe[p].queue[m.pe[p].queued++] = push;
        if (load)
            load_group(&m);
    }
    free(m.pe);
    steps.cycles = 9;
    if (last_load > steps.cycles)
        steps.cycles = last_load;
    if (last_entry + 6 > steps.cycles)
        steps.cycles = last_entry + 6;
    return steps;
}

/* Where the elements of format nm stand: one cut for all instruction sets, so that kernels read the
 * fields as they are. See docs/formats/nm.md.
 *
 * K is cut into windows of `subs` sub-windows of `sub` columns (whole groups); every output keeps
 * `kept` elements of each. 16 outputs are a panel. A step holds `depth` kept elements of each
 * output of the panel: element column * depth + slot. A window has `steps` steps, slots counted
 * through; slots that its sub-windows do not fill hold place 0, value 0. */
#ifndef LACUNA_FORMAT_NM_H
#define LACUNA_FORMAT_NM_H

#include <lacuna/format.h>

enum {
    LAC_NM_COLUMNS = 16, /* outputs of a panel */
    LAC_NM_DEPTH = 4,  /* elements of an output in a step: a dot product of 4 bytes, or 16 bytes of
                          floats, is one instruction */
    LAC_NM_SLOTS = 64, /* most of a window */
    LAC_NM_WINDOW = 64
};

typedef struct lac_nm_cut {
    int n, m;
    int depth;           /* LAC_NM_DEPTH */
    int sub, kept, subs; /* of a sub-window: columns, elements kept; sub-windows */
    int window, steps;   /* columns, steps of a window */
    int slots;           /* steps * depth */
    int place_bits;      /* of a place within its group: 2, 4 or 8 */
    int value_bits;      /* 4, 8, 16 or 32 */
    int unit;            /* elements of a step: 16 * depth */
    int64_t windows, panels;
    int64_t panel_steps, panel_index, panel_values; /* steps and bytes of a panel */
} lac_nm_cut;

enum { LAC_NM_VALUES, LAC_NM_INDEX }; /* fields */

/* LAC_ERROR_INPUT: n above m, bits for other than int8, sizes beyond counting. */
lac_status lac_nm_cut_of(const lac_packed *packed, lac_nm_cut *cut, lac_error *err);

/* First column, within the window, of the group that slot belongs to; -1: no slot of a group. */
static inline int lac_nm_base(const lac_nm_cut *cut, int slot)
{
    int sub = slot / cut->kept;
    return sub < cut->subs ? sub * cut->sub + slot % cut->kept / cut->n * cut->m : -1;
}

/* Number of a step within its panel. */
static inline int64_t lac_nm_step(const lac_nm_cut *cut, int64_t window, int slot)
{
    return window * cut->steps + slot / cut->depth;
}

/* Elements of `bits` bits (2, 4, 8) of a panel, one to a byte: 8 / bits steps one behind the other
 * share a `unit` of bytes, the first in the low bits, so that vectors widen them by one shift. */
static inline int lac_nm_get(const uint8_t *panel, int unit, int bits, int64_t step, int element)
{
    int per = 8 / bits;
    return panel[step / per * unit + element] >> (int)(step % per) * bits & ((1 << bits) - 1);
}

static inline void lac_nm_put(uint8_t *panel, int unit, int bits, int64_t step, int element,
                              int value)
{
    int per = 8 / bits;
    panel[step / per * unit + element] |= (uint8_t)(value << (int)(step % per) * bits);
}

#endif

/* The engine (dmme.v) under Verilator, seen from C. One dmme_model per compiled size; how ports
 * behave is in dmme.v. */
#ifndef LACUNA_RTL_STA_COSIM_H
#define LACUNA_RTL_STA_COSIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Wide ports are bit strings in 32-bit words, bit 0 lowest, zeros behind their width. */
typedef struct dmme_in {
    uint8_t rst, cfg_n, cfg_m, cfg_sparse, cfg_g, cfg_p, job_valid;
    uint16_t cfg_steps;
    uint32_t job_id;
    const uint32_t *a_data, *b_data, *v_data;
} dmme_in;

typedef struct dmme_out {
    uint8_t job_ready, a_en, b_en, v_en, v_j, y_valid, y_row, idle;
    uint16_t a_off, b_step, v_step;
    uint32_t a_job, b_job, v_job, y_job;
    const uint32_t *y_data; /* cols words, until the next step */
} dmme_out;

typedef struct dmme_model {
    int rows, cols, lanes, fetch_bytes, m_max, output_stages; /* R, C, L, PA, MMAX, Q */
    /* Registers start with random bits. NULL: out of memory. */
    void *(*create)(void);
    /* One cycle: what the engine shows with these inputs, then the rising edge of the clock. */
    void (*step)(void *engine, const dmme_in *in, dmme_out *out);
    void (*destroy)(void *engine);
} dmme_model;

#ifdef __cplusplus
}
#endif

#endif

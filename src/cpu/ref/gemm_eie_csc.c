/* EIE's columns, portable. */
#define DECODE              csc_decode_any
#define SECONDS_PER_ENTRY   1.2e-9
#define SECONDS_PER_PRODUCT 0.1e-9

#include "cpu/gemm_eie_csc.inc"

LAC_PACKED_ROWS(eie_csc_f32_ref, "eie-csc", LAC_F32, 0, csc,
                "sparse columns, driven by activations")

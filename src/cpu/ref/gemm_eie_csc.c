/* EIE's columns, portable. */
#define SECONDS_PER_ENTRY   0.8e-9
#define SECONDS_PER_PRODUCT 0.5e-9

#include "cpu/gemm_eie_csc.inc"

LAC_PACKED_ROWS(eie_csc_f32_ref, "eie-csc", LAC_F32, 0, csc,
                "sparse columns, driven by activations")

/* Energy constants: one table for every accelerator, 45 nm, 0.9 V (M. Horowitz, "Computing's energy
 * problem", ISSCC 2014, figure 1.1.9). No technology scaling. They rank designs; they do not
 * reproduce anybody's milliwatts. */
#ifndef LACUNA_ACCEL_KIT_ENERGY_H
#define LACUNA_ACCEL_KIT_ENERGY_H

#define LAC_PJ_MUL_INT8  0.2
#define LAC_PJ_ADD_INT8  0.03
#define LAC_PJ_ADD_INT16 0.05 /* from memory */
#define LAC_PJ_ADD_INT32 0.1
#define LAC_PJ_MUL_INT32 3.1
/* 64-bit DRAM access 1.3 to 2.6 nJ: the middle, 1.95 nJ, per byte */
#define LAC_PJ_DRAM_BYTE 243.75
/* A gated multiply-accumulate: 10 % of an active one (clock tree and leakage; assumed). */
#define LAC_PJ_GATED_MAC 0.03

#define LAC_SOURCE_MAC  "0.2 + 0.1 pJ: int8 multiply, int32 add, 45 nm, Horowitz ISSCC 2014"
#define LAC_SOURCE_DRAM "243.75 pJ per byte: 64-bit access 1.95 nJ, 45 nm, Horowitz ISSCC 2014"
#define LAC_SOURCE_SRAM                                                                            \
    "64-bit access 10, 20, 100 pJ at 8, 32, 1024 KB, 45 nm, Horowitz ISSCC 2014; between them a "  \
    "straight line in the square root of the size (assumed)"
#define LAC_SOURCE_GATED "0.03 pJ: 10 % of an active multiply-accumulate (assumed)"

/* One byte of an SRAM of `kb` KB (1024 bytes): the 64-bit access / 8. */
double lac_sram_pj_per_byte(double kb);

#endif

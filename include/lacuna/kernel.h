/* lacuna/kernel.h - a row of the kernel table: one fast routine for
 * (layer kind, format of the weights, element type, instruction set). */
#ifndef LACUNA_KERNEL_H
#define LACUNA_KERNEL_H

#include <lacuna/format.h>
#include <lacuna/layer.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {                     /* instruction-set bits a kernel requires; 0 is portable C */
       LAC_ISA_AVX2 = 1,   /* AVX2 + FMA + F16C */
       LAC_ISA_AVX512 = 2, /* F, BW, DQ, VL */
       LAC_ISA_VNNI = 4,   /* AVX512-VNNI */
       LAC_ISA_VBMI = 8,
       LAC_ISA_BF16 = 16,
       LAC_ISA_LIBRARY = 32 /* the dense library; off under LACUNA_ISA=ref */
};

typedef struct lac_kernel {
    lac_row row;        /* "gemm_nm_s8_avx512vnni": kind, format, dtype, ISA */
    const char *kind;   /* layer kind */
    const char *format; /* of the weights; "dense": unpacked */
    lac_dtype dtype;    /* of the activations: LAC_F32, LAC_U8, LAC_I8 */
    uint32_t isa;
    /* Layouts of activations that it takes and makes besides LAC_LAYOUT_ROWS: LAC_BIT(layout)... */
    uint32_t reads, writes;
    /* Writes layer->beside itself, as lac_quantise_beside does; others are followed by that. */
    bool beside;
    /* Whether it computes this layer; if not, the reason (shape, pattern, epilogue) in `why`. */
    bool (*can_run)(const lac_layer *layer, char *why, size_t why_size);
    /* Seconds for one run on one thread, estimated: the planner takes the least. */
    double (*cost)(const lac_layer *layer);
    /* Once per plan: repacks constant operands into *state, those that other plans of the session
     * may have repacked already through layer->store. Operand shapes are those of run. */
    lac_status (*prepare)(const lac_layer *layer, void **state, lac_error *err);
    /* Reads activations (and residual) from `layer`, writes layer->output. Same bits for any
     * thread count. */
    lac_status (*run)(const lac_layer *layer, void *state, lac_error *err);
    void (*release)(void *state);
    size_t (*state_bytes)(const void *state); /* memory held, for reports; may be NULL */
    /* Reads each element of the residual before it writes that element of the output, and at no
     * other time: both may be the same memory. */
    bool residual_in_place;
} lac_kernel;

LAC_API extern lac_table lac_kernels;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_kernel(const lac_kernel *row, lac_error *err);
/* What this CPU has, after LACUNA_ISA (ref, avx2, avx512, native) has been applied: avx512 stops at
 * VNNI, as on server cores before VBMI. An unknown or unavailable value of LACUNA_ISA is an error.
 */
LAC_API lac_status lac_isa(uint32_t *isa, lac_error *err);
LAC_API const char *lac_isa_text(uint32_t isa, char *text, size_t size);
/* The cheapest kernel that runs `layer` with the instruction sets `isa`; NULL and the reasons in
 * `why` if none does. */
LAC_API const lac_kernel *lac_kernel_choose(const lac_layer *layer, uint32_t isa, char *why,
                                            size_t why_size);

/* ---- what several plans share ------------------------------------------------------------------
 *
 * A session makes one plan per set of input shapes. What kernels make of constant operands is kept
 * once for all of them: an object, made from the bytes at `source`, in the variant that `key` says
 * (any bytes); `release` frees it and tells kinds of objects apart. A layer carries the store; with
 * store NULL nothing is shared. Not for several threads at once: prepare and release run on one. */
LAC_API lac_status lac_store_make(lac_store **store, lac_error *err);
/* Every object is released, used or not. */
LAC_API void lac_store_free(lac_store *store);
/* The object kept under this key, now with one more user; NULL: none. */
LAC_API void *lac_store_find(lac_store *store, const void *source, const void *key,
                             size_t key_bytes, void (*release)(void *object));
/* Keeps a new object with one user, its maker. On failure the object stays the caller's. */
LAC_API lac_status lac_store_put(lac_store *store, const void *source, const void *key,
                                 size_t key_bytes, void (*release)(void *object), void *object,
                                 lac_error *err);
/* One user less; the last one releases. NULL object: nothing. */
LAC_API void lac_store_drop(lac_store *store, void (*release)(void *object), void *object);

#ifdef __cplusplus
}
#endif
#endif

/* LSTM with AVX-512. */
#if defined(__AVX512F__)
#include <immintrin.h>

#define NAME            lac_kernel_lstm_avx512
#define TEXT            "lstm_dense_f32_avx512"
#define ISA             (LAC_ISA_AVX2 | LAC_ISA_AVX512)
#define ROWS            6
#define MINIMUM(a, b)   _mm512_min_ps(a, b)
#define MAXIMUM(a, b)   _mm512_max_ps(a, b)
#define SECONDS_PER_MAC 0.022e-9
#include "cpu/lstm_body.inc"
#endif

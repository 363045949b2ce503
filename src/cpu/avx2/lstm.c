/* LSTM with AVX2. */
#if defined(__AVX2__)
#include <immintrin.h>

#define NAME            lac_kernel_lstm_avx2
#define TEXT            "lstm_dense_f32_avx2"
#define ISA             LAC_ISA_AVX2
#define ROWS            3
#define MINIMUM(a, b)   _mm256_min_ps(a, b)
#define MAXIMUM(a, b)   _mm256_max_ps(a, b)
#define SECONDS_PER_MAC 0.035e-9
#include "cpu/lstm_body.inc"
#endif

/* What the CPU has, cut down to what LACUNA_ISA allows. */
#include <lacuna/kernel.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t detect(void)
{
    uint32_t isa = LAC_ISA_LIBRARY;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        isa |= LAC_ISA_AVX2;
    if ((isa & LAC_ISA_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        isa |= LAC_ISA_AVX512;
        if (__builtin_cpu_supports("avx512vnni"))
            isa |= LAC_ISA_VNNI;
        if (__builtin_cpu_supports("avx512vbmi"))
            isa |= LAC_ISA_VBMI;
        if (__builtin_cpu_supports("avx512bf16"))
            isa |= LAC_ISA_BF16;
    }
#endif
    return isa;
}

lac_status lac_isa(uint32_t *isa, lac_error *err)
{
    uint32_t have = detect();
    const char *asked = getenv("LACUNA_ISA");
    if (!asked || !asked[0] || strcmp(asked, "native") == 0)
        *isa = have;
    else if (strcmp(asked, "ref") == 0)
        *isa = 0;
    else if (strcmp(asked, "avx2") == 0 && (have & LAC_ISA_AVX2))
        *isa = LAC_ISA_AVX2 | LAC_ISA_LIBRARY;
    else if (strcmp(asked, "avx512") == 0 && (have & LAC_ISA_AVX512))
        *isa = have & ~(uint32_t)(LAC_ISA_VBMI | LAC_ISA_BF16);
    else if (strcmp(asked, "avx2") == 0 || strcmp(asked, "avx512") == 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "LACUNA_ISA=%s: this CPU does not have it",
                        asked);
    else
        return lac_fail(err, LAC_ERROR_INPUT,
                        "LACUNA_ISA=%.40s: not one of ref, avx2, avx512, native", asked);
    return LAC_OK;
}

const char *lac_isa_text(uint32_t isa, char *text, size_t size)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{LAC_ISA_AVX2, "avx2"}, {LAC_ISA_AVX512, "avx512"}, {LAC_ISA_VNNI, "vnni"},
                 {LAC_ISA_VBMI, "vbmi"}, {LAC_ISA_BF16, "bf16"},     {LAC_ISA_LIBRARY, "library"}};
    size_t length = 0;
    if (size)
        text[0] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((isa & names[i].bit) && length < size) {
            int n =
                snprintf(text + length, size - length, "%s%s", length ? "+" : "", names[i].name);
            length += n > 0 ? (size_t)n : 0;
        }
    if (isa == 0 && size)
        snprintf(text, size, "ref");
    return text;
}

/* Element types: names, widths, the 16-bit floats. */
#include <lacuna/core.h>
#include <string.h>

static const struct {
    const char *name;
    int bits;
} types[LAC_DTYPE_LIMIT] = {
    [LAC_F32] = {"float32", 32}, [LAC_U8] = {"uint8", 8},       [LAC_I8] = {"int8", 8},
    [LAC_U16] = {"uint16", 16},  [LAC_I16] = {"int16", 16},     [LAC_I32] = {"int32", 32},
    [LAC_I64] = {"int64", 64},   [LAC_STRING] = {"string", 0},  [LAC_BOOL] = {"bool", 8},
    [LAC_F16] = {"float16", 16}, [LAC_F64] = {"float64", 64},   [LAC_U32] = {"uint32", 32},
    [LAC_U64] = {"uint64", 64},  [LAC_BF16] = {"bfloat16", 16}, [LAC_U4] = {"uint4", 4},
    [LAC_I4] = {"int4", 4},
};

const char *lac_dtype_name(lac_dtype dtype)
{
    if (dtype == LAC_NONE)
        return "none";
    if ((unsigned)dtype >= LAC_DTYPE_LIMIT || !types[dtype].name)
        return "?";
    return types[dtype].name;
}

int lac_dtype_bits(lac_dtype dtype)
{
    return (unsigned)dtype < LAC_DTYPE_LIMIT ? types[dtype].bits : 0;
}

bool lac_dtype_is_float(lac_dtype dtype)
{
    return dtype == LAC_F32 || dtype == LAC_F64 || dtype == LAC_F16 || dtype == LAC_BF16;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float lac_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 0x1f, mantissa = half & 0x3ff;
    if (exponent == 0x1f)
        return from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) /* zero and subnormals: mantissa * 2^-24, exact in float */
        return from_bits(bits_of((float)mantissa * 0x1p-24f) | sign);
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t lac_f32_to_f16(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) /* NaN stays NaN, quiet */
        return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
    if (bits >= 0x47800000) /* 65536 and above, infinity */
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) { /* below 2^-14: adding 2^-1 aligns and rounds to multiples of 2^-24 */
        float aligned = from_bits(bits) + 0.5f;
        return (uint16_t)(sign | (bits_of(aligned) - 0x3f000000));
    }
    uint32_t rounded = bits + 0xfff + (bits >> 13 & 1); /* nearest even */
    return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

float lac_bf16_to_f32(uint16_t bits)
{
    return from_bits((uint32_t)bits << 16);
}

uint16_t lac_f32_to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

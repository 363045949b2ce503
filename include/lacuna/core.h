/* lacuna/core.h - status and errors, element types, tensors, parameters, rows of tables.
 *
 * Everything else in lacuna is written in these words. The library never prints, exits or
 * aborts on input: a function that can fail returns a lac_status and takes `lac_error *err`
 * last (NULL is allowed: the message is then lost, the status is not). */
#ifndef LACUNA_CORE_H
#define LACUNA_CORE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(LAC_BUILD)
#define LAC_API __attribute__((visibility("default")))
#else
#define LAC_API
#endif
#define LAC_PRINTF(text, first) __attribute__((format(printf, text, first)))

#define LAC_VERSION_MAJOR  0
#define LAC_VERSION_MINOR  1
#define LAC_VERSION_PATCH  0
#define LAC_VERSION_STRING "0.1.0"

/* ---- errors ------------------------------------------------------------------------------ */

typedef enum lac_status {
    LAC_OK = 0,
    LAC_ERROR_INPUT,       /* the caller's data or file is wrong */
    LAC_ERROR_UNSUPPORTED, /* well formed, but lacuna does not do it */
    LAC_ERROR_IO,          /* the operating system refused */
    LAC_ERROR_MEMORY,      /* allocation failed */
    LAC_ERROR_INTERNAL     /* a broken promise inside lacuna: please report */
} lac_status;

typedef struct lac_error {
    lac_status status;
    char message[480]; /* one line: file, field, value, limit; never ends in a newline */
} lac_error;

/* Fills `err` (when not NULL) and returns `status`, so that `return lac_fail(...)` reads well. */
LAC_API lac_status lac_fail(lac_error *err, lac_status status, const char *format, ...)
    LAC_PRINTF(3, 4);
/* Puts "context: " before the message that is already there, unless it begins so, since caller and
 * callee may know the same file or node; returns `status`, which becomes err's. */
LAC_API lac_status lac_fail_in(lac_error *err, lac_status status, const char *format, ...)
    LAC_PRINTF(3, 4);

/* Runs `expression`; returns its status from the calling function when it is not LAC_OK. */
#define LAC_TRY(expression)                                                                        \
    do {                                                                                           \
        lac_status lac_try_status_ = (expression);                                                 \
        if (lac_try_status_ != LAC_OK)                                                             \
            return lac_try_status_;                                                                \
    } while (0)

/* ---- element types ------------------------------------------------------------------------ */

/* The numbers are those of ONNX TensorProto.DataType, also the ones newer than Debian's schema. */
typedef enum lac_dtype {
    LAC_NONE = 0,
    LAC_F32 = 1,
    LAC_U8 = 2,
    LAC_I8 = 3,
    LAC_U16 = 4,
    LAC_I16 = 5,
    LAC_I32 = 6,
    LAC_I64 = 7,
    LAC_STRING = 8, /* named for messages only: no tensor of strings can be made */
    LAC_BOOL = 9,
    LAC_F16 = 10,
    LAC_F64 = 11,
    LAC_U32 = 12,
    LAC_U64 = 13,
    LAC_BF16 = 16,
    LAC_U4 = 21, /* two elements a byte, the first in the low nibble */
    LAC_I4 = 22,
    LAC_DTYPE_LIMIT = 32
} lac_dtype;

#define LAC_BIT(dtype) (UINT32_C(1) << (dtype)) /* sets of dtypes: LAC_BIT(LAC_F32) | ... */

LAC_API const char *lac_dtype_name(lac_dtype dtype); /* "float32"; "dtype 77" names are "?" */
LAC_API int lac_dtype_bits(lac_dtype dtype);         /* 0 for LAC_NONE, LAC_STRING, unknown */
LAC_API bool lac_dtype_is_float(lac_dtype dtype);

LAC_API float lac_f16_to_f32(uint16_t half);
LAC_API uint16_t lac_f32_to_f16(float value); /* round to nearest even, overflow to infinity */
LAC_API float lac_bf16_to_f32(uint16_t bits);
LAC_API uint16_t lac_f32_to_bf16(float value); /* round to nearest even */

/* ---- tensors ------------------------------------------------------------------------------ */

#define LAC_MAX_RANK 8

typedef struct lac_buffer lac_buffer; /* counted bytes: heap or mapped file */

/* A row-major view with an owner. `data` NULL: the shape is known, the values are not.
 * `buffer` NULL: borrowed, somebody else keeps the bytes alive. A zeroed struct is empty. */
typedef struct lac_tensor {
    lac_dtype dtype;
    int rank;
    int64_t dims[LAC_MAX_RANK];
    void *data;
    lac_buffer *buffer;
} lac_tensor;

/* Product of `dims`, refusing negative sizes, rank outside 0..LAC_MAX_RANK and products or byte
 * counts that overflow int64: the one place where sizes are multiplied. */
LAC_API lac_status lac_shape_count(int rank, const int64_t *dims, int64_t *count, lac_error *err);
/* Elements and bytes of a tensor whose shape was checked when it was made. */
LAC_API int64_t lac_tensor_count(const lac_tensor *tensor);
LAC_API size_t lac_tensor_bytes(const lac_tensor *tensor);
/* New zeroed elements, aligned to 64 bytes with 64 readable bytes behind. Release when done. */
LAC_API lac_status lac_tensor_make(lac_tensor *tensor, lac_dtype dtype, int rank,
                                   const int64_t *dims, lac_error *err);
/* A borrowed view of `data`; no copy, nothing to release. */
LAC_API lac_tensor lac_tensor_view(lac_dtype dtype, int rank, const int64_t *dims, void *data);
/* `target` becomes a second owner of the same bytes (or another borrower). */
LAC_API void lac_tensor_share(lac_tensor *target, const lac_tensor *source);
/* A deep copy with bytes of its own. */
LAC_API lac_status lac_tensor_copy(lac_tensor *target, const lac_tensor *source, lac_error *err);
/* Drops this owner's claim and zeroes the struct; harmless on an empty tensor. */
LAC_API void lac_tensor_release(lac_tensor *tensor);
/* Element `index` of any numeric dtype as double / stored from double (saturating for integers). */
LAC_API double lac_tensor_get(const lac_tensor *tensor, int64_t index);
LAC_API void lac_tensor_set(lac_tensor *tensor, int64_t index, double value);
/* All elements converted to another numeric dtype (C conversion; saturating for integers). */
LAC_API lac_status lac_tensor_convert(lac_tensor *target, lac_dtype dtype, const lac_tensor *source,
                                      lac_error *err);
/* "float32[8,3,224,224]" into `text`; returns text. */
LAC_API const char *lac_tensor_text(const lac_tensor *tensor, char *text, size_t size);

/* ---- rows and tables ---------------------------------------------------------------------- */

/* Every row of the six tables begins with this; LAC_ROW fills it. `size` and `abi` let a plug-in
 * compiled against other headers be refused instead of misread. */
#define LAC_ABI 1
typedef struct lac_row {
    uint32_t size;
    uint32_t abi;
    const char *name;    /* what users type; unique within the table (for op: with domain) */
    const char *summary; /* one line for `list` and the documentation */
} lac_row;
#define LAC_ROW(type, name_, summary_)                                                             \
    {                                                                                              \
        sizeof(type), LAC_ABI, name_, summary_                                                     \
    }

typedef struct lac_table lac_table; /* built-in rows, then registered rows */
LAC_API int lac_table_count(const lac_table *table);
LAC_API const lac_row *lac_table_at(const lac_table *table, int index);
/* The row called `name`, or NULL. */
LAC_API const lac_row *lac_table_find(const lac_table *table, const char *name);
/* Loads a shared object and calls its `lac_plugin_load`, which registers rows (lacuna/plugin.h).
 * It stays loaded as long as the process. */
LAC_API lac_status lac_plugin_open(const char *path, lac_error *err);

/* ---- parameters ----------------------------------------------------------------------------- */

/* Formats, schemes and accelerators declare their parameters in this one way. */
typedef enum lac_param_type {
    LAC_PARAM_INT,
    LAC_PARAM_REAL,
    LAC_PARAM_CHOICE, /* one word of `choices` */
    LAC_PARAM_TEXT    /* free text, checked by the row */
} lac_param_type;

typedef enum lac_provenance {
    LAC_PUBLISHED,   /* the paper or the authors' public code states it */
    LAC_FROM_MEMORY, /* published, but recalled: not checked against the text */
    LAC_DERIVED,     /* follows from what is published */
    LAC_ASSUMED,     /* nobody states it: our choice, `source` says why */
    LAC_OPTION       /* not a claim about anybody's hardware: a switch of ours */
} lac_provenance;
LAC_API const char *lac_provenance_name(lac_provenance provenance);

typedef struct lac_param {
    const char *name;
    lac_param_type type;
    const char *unit;    /* "cycles", "bytes/cycle", "" */
    double initial;      /* default of INT and REAL */
    double min, max;     /* inclusive limits of INT and REAL */
    const char *text;    /* default of CHOICE and TEXT */
    const char *choices; /* "ws|os|is" */
    lac_provenance provenance;
    const char *source; /* paper, table, code, or why we chose it */
    const char *summary;
} lac_param;

#define LAC_MAX_PARAMS 48

/* Values for one schema. Copyable; text values longer than the array are refused. */
typedef struct lac_params {
    const lac_param *schema; /* ends with a row whose name is NULL */
    double number[LAC_MAX_PARAMS];
    bool is_set[LAC_MAX_PARAMS]; /* the user gave it: for messages and reports */
    char text[LAC_MAX_PARAMS][64];
} lac_params;

LAC_API void lac_params_init(lac_params *params, const lac_param *schema);
/* One "name", "value"; an error names the parameter, the value and the limits, and for an unknown
 * name lists the known ones. */
LAC_API lac_status lac_params_set(lac_params *params, const char *name, const char *value,
                                  lac_error *err);
LAC_API bool lac_params_has(const lac_params *params, const char *name);
/* "name=value,name=value" (or empty). */
LAC_API lac_status lac_params_parse(lac_params *params, const char *text, lac_error *err);
/* Reading a name that the schema lacks is a programming error: returns 0 / "". */
LAC_API int64_t lac_params_int(const lac_params *params, const char *name);
LAC_API double lac_params_real(const lac_params *params, const char *name);
LAC_API const char *lac_params_text(const lac_params *params, const char *name);
/* "n=2,m=4" of all parameters, defaults included, in schema order; what parse reads back. */
LAC_API const char *lac_params_print(const lac_params *params, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif

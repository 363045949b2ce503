/* What auto.c tries: a choice per weight, the network it makes, and the times of its layers. */
#ifndef LACUNA_STUDY_AUTO_MAKE_H
#define LACUNA_STUDY_AUTO_MAKE_H

#include "exec/calibrate.h"

#include <lacuna/scheme.h>

typedef struct lac_form {
    const lac_format *format;
    const char *params; /* "": what fits */
} lac_form;

/* All that the format table holds. */
enum { LAC_MAX_FORMS = 96 };
int lac_forms(lac_form *forms);
/* "nm:n=2,m=4 int8" of a weight as it is stored, and as the form would store it. */
const char *lac_form_text(const lac_weight *weight, char *text, size_t size);
lac_status lac_maker_form_text(const lac_form *form, const lac_weight *weight, char *text,
                               size_t size, lac_error *err);

/* Parameters of scheme magnitude, NULL past the last. */
const char *lac_pruning(int index);

enum { LAC_CHOICE_DENSE = -1 };

typedef struct lac_choice {
    bool is_float; /* left float in a network of integers */
    int form;      /* of lac_forms, or LAC_CHOICE_DENSE */
    int pruning;   /* of lac_pruning, which then brings its own form; or LAC_CHOICE_DENSE */
} lac_choice;

typedef struct lac_maker {
    const lac_graph *graph;
    const lac_calibration *calibration; /* NULL: none */
    const lac_ranges *ranges;
    int n_forms;
    lac_form form[LAC_MAX_FORMS];
    uint32_t isa;
} lac_maker;

/* The network that `scheme` ("dense", "int8") and one choice per weight make; NULL: all dense. */
lac_status lac_maker_make(lac_maker *maker, const char *scheme, const lac_choice *choice,
                          lac_compression *made, lac_error *err);
/* Whether `form` holds this very weight, as its scheme left it, in fewer bytes than dense, and has
 * kernels for it on this CPU. */
lac_status lac_maker_fits(const lac_maker *maker, const lac_weight *weight, const lac_form *form,
                          bool *fits, int64_t *bytes, lac_error *err);

/* Two networks on the same input, in turns, milliseconds. */
typedef struct lac_measured {
    double whole, whole_reference;
    int n;
    struct lac_measured_weight {
        double ms, reference; /* NAN: no step has its name */
        bool packed;          /* a kernel read the packed weight */
    } * weight;
} lac_measured;

/* `named`: gives the names of the weights. Release it. */
lac_status lac_measure(lac_measured *measured, const lac_graph *graph, const lac_graph *reference,
                       const lac_compression *named, const lac_tensor *in, double seconds,
                       lac_error *err);
void lac_measured_release(lac_measured *measured);

#endif

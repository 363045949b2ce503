/* Commands as rows: parsing, help, the man page and shell completion all walk the same tables. */
#ifndef LACUNA_CLI_COMMAND_H
#define LACUNA_CLI_COMMAND_H

#include "core/text.h"

#include <jansson.h>
#include <lacuna/accel.h>

typedef struct cli_option {
    const char *name;  /* "scheme": typed --scheme */
    char letter;       /* 's': also -s; 0: none */
    const char *value; /* "TEXT": takes a value of this kind; NULL: a switch */
    const char *help;
} cli_option;

enum { MAX_ARGUMENTS = 64, MAX_OPTION_VALUES = 128 };

/* What the user typed, checked against the command's options. */
typedef struct cli_arguments {
    int n; /* positional ones */
    const char *positional[MAX_ARGUMENTS];
    int n_values;
    struct {
        const cli_option *option;
        const char *value; /* NULL for a switch */
    } values[MAX_OPTION_VALUES];
    bool json;
} cli_arguments;

typedef struct cli_command {
    const char *name;
    const char *usage;   /* behind the name: "MODEL [--scheme TEXT]" */
    const char *summary; /* one line */
    const char *details; /* paragraphs for help and the man page; examples */
    const cli_option
        *options; /* ends with name NULL; --json, --threads, --plugin, --help are everybody's */
    int min_arguments, max_arguments;
    lac_status (*run)(const cli_arguments *arguments, lac_error *err);
} cli_command;

extern const cli_command *const commands[]; /* ends with NULL */
extern const cli_option common_options[];

/* Value `index` (0: first given) of --name, or NULL. */
const char *option_value(const cli_arguments *arguments, const char *name, int index);
bool option_given(const cli_arguments *arguments, const char *name);
/* Integer value of --name within [min, max], or `initial`. */
lac_status option_int(const cli_arguments *arguments, const char *name, int64_t initial,
                      int64_t min, int64_t max, int64_t *value, lac_error *err);

/* The accelerator `name` and its parameters after --arch and --set. */
lac_status read_accel(const cli_arguments *arguments, const char *name, const lac_accel **accel,
                      lac_params *params, lac_error *err);

/* ---- output: one place that knows stdout
 * --------------------------------------------------------- */

struct lac_report;
/* Prints the text, all of it; a full disk or a closed pipe is an error of the command. */
lac_status print_text(const lac_text *text, lac_error *err);
struct lac_memory_info;
/* Where the bytes of a session are: a line of text; an object. */
void memory_text(lac_text *lines, const struct lac_memory_info *memory);
json_t *memory_json(const struct lac_memory_info *memory);
/* The table, aligned. */
lac_status print_report(const struct lac_report *report, lac_error *err);
/* Prints `root` (taken over) as JSON with a schema name: {"schema": "lacuna.bench/1", ...}. */
lac_status print_json(const char *schema, json_t *root, lac_error *err);
/* Writes text to the file that --output names, or prints it. */
lac_status write_text(const char *path, const lac_text *text, lac_error *err);

/* Refuses a file that could not be written: a folder, or one in a folder that is absent or not
 * writable. Long work is not to end there. NULL: no file is asked for. */
lac_status check_writable(const char *path, lac_error *err);
/* That, and refuses to write OUTPUT + suffix over the model or the data beside it: its weights are
 * mapped, and it may be somebody's only copy. */
lac_status check_output_path(const char *model, const char *output, const char *suffix,
                             lac_error *err);

/* ---- progress: a bar on a terminal's stderr, nothing elsewhere
 * ------------------------------------ */

/* For callbacks: `done` 0..1, or below 0 for an unknown share. context is ignored. */
void show_progress(void *context, const char *stage, double done);
void end_progress(void);

#endif

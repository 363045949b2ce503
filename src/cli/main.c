/* lacuna: parses, calls, prints. Which commands exist is in commands.inc. */
#include "cli/command.h"
#include "cli/document.h"
#include "core/parallel.h"
#include "report/table.h"

#include <lacuna/lacuna.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAC_ROW_OF(row) extern const cli_command row;
#include "cli/commands.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(row) &row,
const cli_command *const commands[] = {
#include "cli/commands.inc"
    NULL};

const cli_option common_options[] = {
    {"json", 0, NULL, "print JSON for programs instead of a table for people"},
    {"threads", 't', "N", "threads; 0: as many as the machine has (default)"},
    {"plugin", 0, "FILE", "load rows from a shared object first; repeatable"},
    {"help", 'h', NULL, "what the command does, its options, examples"},
    {0}};

static const cli_command *find_command(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static const cli_option *find_option(const cli_option *options, const char *name, size_t length)
{
    for (; options && options->name; options++)
        if (strlen(options->name) == length && strncmp(options->name, name, length) == 0)
            return options;
    return NULL;
}

static const cli_option *find_letter(const cli_option *options, char letter)
{
    for (; options && options->name; options++)
        if (options->letter == letter)
            return options;
    return NULL;
}

static lac_status keep(cli_arguments *arguments, const cli_option *option, const char *value,
                       lac_error *err)
{
    if (arguments->n_values == MAX_OPTION_VALUES)
        return lac_fail(err, LAC_ERROR_INPUT, "more than %d options", MAX_OPTION_VALUES);
    arguments->values[arguments->n_values].option = option;
    arguments->values[arguments->n_values++].value = value;
    return LAC_OK;
}

/* One word that begins with '-'; *next is consumed when the option takes a value. */
static lac_status parse_option(const cli_command *command, cli_arguments *arguments,
                               const char *word, const char *next, bool *used_next, lac_error *err)
{
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1), *equals = is_long ? strchr(name, '=') : NULL;
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const cli_option *option = is_long ? find_option(command->options, name, length)
                                       : find_letter(command->options, *name);
    if (!option)
        option = is_long ? find_option(common_options, name, length)
                         : find_letter(common_options, *name);
    if (!option || (!is_long && length != 1))
        return lac_fail(err, LAC_ERROR_INPUT, "unknown option %s: see 'lacuna %s --help'", word,
                        command->name);
    if (!option->value) {
        if (equals)
            return lac_fail(err, LAC_ERROR_INPUT, "option --%s takes no value", option->name);
        return keep(arguments, option, NULL, err);
    }
    if (!equals && !next)
        return lac_fail(err, LAC_ERROR_INPUT, "option --%s needs a value: %s", option->name,
                        option->value);
    *used_next = !equals;
    return keep(arguments, option, equals ? equals + 1 : next, err);
}

static lac_status parse(const cli_command *command, int argc, char **argv, cli_arguments *arguments,
                        lac_error *err)
{
    memset(arguments, 0, sizeof *arguments);
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            bool used_next = false;
            LAC_TRY(parse_option(command, arguments, argv[i], i + 1 < argc ? argv[i + 1] : NULL,
                                 &used_next, err));
            i += used_next;
        } else {
            if (arguments->n == MAX_ARGUMENTS)
                return lac_fail(err, LAC_ERROR_INPUT, "more than %d arguments", MAX_ARGUMENTS);
            arguments->positional[arguments->n++] = argv[i];
        }
    }
    arguments->json = option_given(arguments, "json");
    if (option_given(arguments, "help"))
        return LAC_OK;
    if (arguments->n < command->min_arguments)
        return lac_fail(err, LAC_ERROR_INPUT, "too few arguments: lacuna %s %s", command->name,
                        command->usage);
    if (arguments->n > command->max_arguments)
        return lac_fail(err, LAC_ERROR_INPUT, "unexpected argument '%s': lacuna %s %s",
                        arguments->positional[command->max_arguments], command->name,
                        command->usage);
    return LAC_OK;
}

const char *option_value(const cli_arguments *arguments, const char *name, int index)
{
    for (int i = 0; i < arguments->n_values; i++)
        if (strcmp(arguments->values[i].option->name, name) == 0 && index-- == 0)
            return arguments->values[i].value;
    return NULL;
}

bool option_given(const cli_arguments *arguments, const char *name)
{
    for (int i = 0; i < arguments->n_values; i++)
        if (strcmp(arguments->values[i].option->name, name) == 0)
            return true;
    return false;
}

lac_status option_int(const cli_arguments *arguments, const char *name, int64_t initial,
                      int64_t min, int64_t max, int64_t *value, lac_error *err)
{
    const char *text = option_value(arguments, name, 0);
    *value = initial;
    if (!text)
        return LAC_OK;
    if (!lac_parse_i64(text, value) || *value < min || *value > max)
        return lac_fail(err, LAC_ERROR_INPUT, "--%s %s: want an integer in %lld..%lld", name, text,
                        (long long)min, (long long)max);
    return LAC_OK;
}

static lac_status apply_common(const cli_arguments *arguments, lac_error *err)
{
    int64_t threads;
    LAC_TRY(option_int(arguments, "threads", 0, 0, 4096, &threads, err));
    if (option_given(arguments, "threads") || !getenv("OMP_NUM_THREADS"))
        lac_threads_set(0); /* as many as there are processors; else OpenMP has read its variable */
    if (threads > lac_threads())
        fprintf(stderr, "lacuna: --threads %lld: this machine has %d, more only wait\n",
                (long long)threads, lac_threads());
    if (threads > 0)
        lac_threads_set((int)threads);
    const char *path;
    for (int i = 0; (path = option_value(arguments, "plugin", i)); i++)
        LAC_TRY(lac_plugin_open(path, err));
    return LAC_OK;
}

static lac_status print_version(lac_error *err)
{
    lac_text text = {0};
    const char *part, *state;
    lac_text_add(&text, "lacuna %s\n", lac_version());
    for (int i = 0; lac_version_part(i, &part, &state); i++)
        lac_text_add(&text, "  %-22s %s\n", part, state);
    lac_status status = print_text(&text, err);
    lac_text_release(&text);
    return status;
}

static lac_status print_help(const cli_command *command, lac_error *err)
{
    lac_text text = {0};
    if (command)
        document_command(command, &text);
    else
        document_overview(&text);
    lac_status status = print_text(&text, err);
    lac_text_release(&text);
    return status;
}

static lac_status run(int argc, char **argv, lac_error *err)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0)
        return print_version(err);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        const cli_command *command = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && !command)
            return lac_fail(err, LAC_ERROR_INPUT, "no command '%s': see 'lacuna help'", argv[2]);
        return print_help(command, err);
    }
    const cli_command *command = find_command(name);
    if (!command)
        return lac_fail(err, LAC_ERROR_INPUT, "no command '%s': see 'lacuna help'", name);
    cli_arguments arguments;
    LAC_TRY(parse(command, argc - 2, argv + 2, &arguments, err));
    if (option_given(&arguments, "help"))
        return print_help(command, err);
    LAC_TRY(apply_common(&arguments, err));
    return command->run(&arguments, err);
}

int main(int argc, char **argv)
{
    lac_error err = {0};
    lac_threads_calm(argv);
    lac_status status = run(argc, argv, &err);
    end_progress();
    if (status != LAC_OK)
        fprintf(stderr, "lacuna: %s\n", err.message);
    return status == LAC_OK ? 0 : 1;
}

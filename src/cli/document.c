/* See document.h. */
#include "cli/document.h"

#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>

void document_overview(lac_text *out)
{
    lac_text_add(out,
                 "lacuna %s: makes the zeros and the low bits of a neural network pay\n\n"
                 "usage: lacuna COMMAND [ARGUMENTS] [OPTIONS]\n\n",
                 lac_version());
    for (int i = 0; commands[i]; i++)
        lac_text_add(out, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
    lac_text_add(out, "\nLACUNA_ISA=ref|avx2|avx512|native (default) says which kernels may run.\n"
                      "'lacuna help COMMAND' explains one. Start with: lacuna compare\n");
}

static void option_lines(const cli_option *options, lac_text *out)
{
    for (; options && options->name; options++) {
        char left[64], letter[8] = "    ";
        if (options->letter)
            snprintf(letter, sizeof letter, "-%c, ", options->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        lac_text_add(out, strlen(left) > 26 ? "  %s\n%30s%s\n" : "  %-26s%s%s\n", left, "  ",
                     options->help);
    }
}

void document_command(const cli_command *command, lac_text *out)
{
    lac_text_add(out, "lacuna %s: %s\n\nusage: lacuna %s %s\n\n%s\n\noptions:\n", command->name,
                 command->summary, command->name, command->usage, command->details);
    option_lines(command->options, out);
    option_lines(common_options, out);
}

/* Text as roff: a leading dot or quote and backslashes would be commands. */
static void roff(lac_text *out, const char *text)
{
    bool at_start = true;
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            lac_text_add(out, "\\&");
        if (*text == '\\')
            lac_text_add(out, "\\e");
        else if (*text == '-')
            lac_text_add(out, "\\-");
        else
            lac_text_bytes(out, text, 1);
        at_start = *text == '\n';
    }
}

static void roff_options(const cli_option *options, lac_text *out)
{
    for (; options && options->name; options++) {
        lac_text_add(out, ".TP\n");
        if (options->letter)
            lac_text_add(out, ".BR \\-%c \", \" ", options->letter);
        else
            lac_text_add(out, ".B ");
        lac_text_add(out, "\\-\\-");
        roff(out, options->name);
        if (options->value)
            lac_text_add(out, options->letter ? " \" %s\"" : " %s", options->value);
        lac_text_add(out, "\n");
        roff(out, options->help);
        lac_text_add(out, "\n");
    }
}

void document_man(lac_text *out)
{
    lac_text_add(out,
                 ".TH LACUNA 1 \"" LACUNA_RELEASE_DATE
                 "\" \"lacuna %s\" \"User Commands\"\n.SH NAME\nlacuna \\- makes "
                 "the zeros and the low bits of a neural network pay\n.SH SYNOPSIS\n.B lacuna\n"
                 ".I COMMAND\n[ARGUMENTS] [OPTIONS]\n.SH DESCRIPTION\n",
                 lac_version());
    roff(out,
         "Takes a trained network (ONNX), compresses it, runs and measures it on this CPU, "
         "and simulates published sparse accelerators on the same tensors. Exit status 0, or 1 "
         "with one line on standard error that says what was wrong.\n");
    lac_text_add(out, ".SH COMMANDS\n");
    for (int i = 0; commands[i]; i++) {
        lac_text_add(out, ".SS \"%s ", commands[i]->name);
        roff(out, commands[i]->usage);
        lac_text_add(out, "\"\n");
        roff(out, commands[i]->summary);
        lac_text_add(out, ".\n.PP\n.nf\n");
        roff(out, commands[i]->details);
        lac_text_add(out, "\n.fi\n");
        roff_options(commands[i]->options, out);
    }
    lac_text_add(out, ".SH \"COMMON OPTIONS\"\n");
    roff_options(common_options, out);
    lac_text_add(out, ".SH ENVIRONMENT\n.TP\n.B LACUNA_ISA\n");
    roff(out, "ref, avx2, avx512 or native (default): which kernels may run. ref is portable C.\n");
    lac_text_add(out, ".TP\n.B LACUNA_DATA\n");
    roff(out,
         "where data sets are, when a model's own metadata names a folder that is not there.\n");
    lac_text_add(out, ".TP\n.B OMP_NUM_THREADS\nthreads, unless \\-\\-threads is given.\n");
}

static void words(const cli_option *options, lac_text *out)
{
    for (; options && options->name; options++)
        lac_text_add(out, " --%s", options->name);
}

void document_completion(lac_text *out)
{
    lac_text_add(out, "# bash completion for lacuna; made by 'lacuna list completion'\n"
                      "_lacuna()\n{\n    local word=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n"
                      "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"help version");
    for (int i = 0; commands[i]; i++)
        lac_text_add(out, " %s", commands[i]->name);
    lac_text_add(out, "\"\n    elif [[ \"$word\" == -* ]]; then\n"
                      "        case \"${COMP_WORDS[1]}\" in\n");
    for (int i = 0; commands[i]; i++) {
        lac_text_add(out, "        %s) words=\"", commands[i]->name);
        words(common_options, out);
        words(commands[i]->options, out);
        lac_text_add(out, "\" ;;\n");
    }
    lac_text_add(out, "        esac\n    fi\n"
                      "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
                      "}\ncomplete -o default -F _lacuna lacuna\n");
}

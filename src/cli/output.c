/* The only place that writes to stdout and draws on the terminal. */
#include "cli/command.h"
#include "core/clock.h"
#include "core/memory.h"
#include "io/onnx.h"
#include "report/table.h"

#include <errno.h>
#include <lacuna/lacuna.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

lac_status print_text(const lac_text *text, lac_error *err)
{
    if (text->failed)
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    if (text->length && fwrite(text->data, 1, text->length, stdout) != text->length)
        return lac_fail(err, LAC_ERROR_IO, "standard output: %s", strerror(errno));
    if (fflush(stdout) != 0)
        return lac_fail(err, LAC_ERROR_IO, "standard output: %s", strerror(errno));
    return LAC_OK;
}

lac_status print_report(const lac_report *report, lac_error *err)
{
    lac_text text = {0};
    end_progress();
    lac_report_print(report, &text);
    lac_status status = print_text(&text, err);
    lac_text_release(&text);
    return status;
}

lac_status print_json(const char *schema, json_t *root, lac_error *err)
{
    end_progress();
    json_t *whole = json_pack("{s:s}", "schema", schema);
    if (!whole || !root || json_object_update(whole, root) != 0) {
        json_decref(whole);
        json_decref(root);
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    }
    json_decref(root);
    char *printed = json_dumps(whole, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    json_decref(whole);
    lac_text text = {0};
    lac_text_add(&text, "%s\n", printed ? printed : "");
    lac_status status =
        printed ? print_text(&text, err) : lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    lac_text_release(&text);
    free(printed);
    return status;
}

lac_status write_text(const char *path, const lac_text *text, lac_error *err)
{
    if (!path)
        return print_text(text, err);
    if (text->failed)
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    return lac_write_file(path, text->data ? text->data : "", text->length, err);
}

lac_status check_writable(const char *path, lac_error *err)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    char folder[4096] = ".";
    struct stat found;
    if (!path)
        return LAC_OK;
    if (stat(path, &found) == 0 && S_ISDIR(found.st_mode))
        return lac_fail(err, LAC_ERROR_IO, "%s: cannot write: %s", path, strerror(EISDIR));
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
        return LAC_OK; /* /dev/stdout, a pipe: written in place */
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (access(folder, W_OK | X_OK) != 0)
        return lac_fail(err, LAC_ERROR_IO, "%s: cannot write: %s", path, strerror(errno));
    return LAC_OK;
}

lac_status check_output_path(const char *model, const char *output, const char *suffix,
                             lac_error *err)
{
    bool is_part;
    LAC_TRY(check_writable(output, err));
    lac_text path = {0};
    lac_text_add(&path, "%s%s", output, suffix);
    lac_status status = path.failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory")
                                    : lac_onnx_is_part(&is_part, model, path.data, err);
    if (status == LAC_OK && is_part)
        status = lac_fail(err, LAC_ERROR_INPUT,
                          "--output %s would overwrite the input: give another file", path.data);
    lac_text_release(&path);
    return status;
}

void memory_text(lac_text *lines, const lac_memory_info *memory)
{
    char text[5][32];
    lac_text_add(lines,
                 "memory, bytes: weights mapped %s, held %s; kernels' copies %s; intermediate "
                 "tensors %s; peak of the process %s\n",
                 lac_group_digits((int64_t)memory->mapped, text[0], sizeof text[0]),
                 lac_group_digits((int64_t)memory->held, text[1], sizeof text[1]),
                 lac_group_digits((int64_t)memory->repacked, text[2], sizeof text[2]),
                 lac_group_digits((int64_t)memory->activations, text[3], sizeof text[3]),
                 lac_group_digits((int64_t)memory->resident, text[4], sizeof text[4]));
}

json_t *memory_json(const lac_memory_info *memory)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "mapped_bytes", (json_int_t)memory->mapped,
                     "held_bytes", (json_int_t)memory->held, "repacked_bytes",
                     (json_int_t)memory->repacked, "activation_bytes",
                     (json_int_t)memory->activations, "resident_bytes",
                     (json_int_t)memory->resident);
}

static struct {
    bool drawn;
    double begin, last; /* seconds */
    char stage[64];
} bar;

void show_progress(void *context, const char *stage, double done)
{
    (void)context;
    if (!isatty(STDERR_FILENO))
        return;
    double now = lac_seconds();
    if (!bar.drawn || (done >= 0 && strncmp(stage, bar.stage, sizeof bar.stage - 1) != 0)) {
        bar.begin = now;
        snprintf(bar.stage, sizeof bar.stage, "%s", stage);
    } else if (now - bar.last < 0.1) {
        return;
    }
    bar.last = now;
    bar.drawn = true;
    if (done < 0) {
        fprintf(stderr, "\r\033[K%.70s", stage);
        return;
    }
    double spent = now - bar.begin;
    int filled = (int)(done * 30 + 0.5);
    fprintf(stderr, "\r\033[K%-28.28s [%.*s%*s] %3.0f %%", stage, filled,
            "##############################", 30 - filled, "", 100 * done);
    if (done > 0.02)
        fprintf(stderr, "  %.0f s left", spent * (1 - done) / done);
}

void end_progress(void)
{
    if (bar.drawn)
        fprintf(stderr, "\r\033[K");
    bar.drawn = false;
}

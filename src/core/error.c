/* One error, one line: filled where the fault is found, extended by callers that know the file. */
#include <lacuna/core.h>
#include <stdio.h>
#include <string.h>

static void keep_one_line(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
}

lac_status lac_fail(lac_error *err, lac_status status, const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, format, arguments);
        va_end(arguments);
        keep_one_line(err->message);
    }
    return status;
}

lac_status lac_fail_in(lac_error *err, lac_status status, const char *format, ...)
{
    if (err) {
        char context[sizeof err->message], whole[2 * sizeof err->message];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(context, sizeof context, format, arguments);
        va_end(arguments);
        size_t length = strlen(context);
        bool said = strncmp(err->message, context, length) == 0 && err->message[length] == ':';
        snprintf(whole, sizeof whole, "%s%s%s", said ? "" : context, said ? "" : ": ",
                 err->message);
        memcpy(err->message, whole, sizeof err->message - 1);
        err->message[sizeof err->message - 1] = 0;
        keep_one_line(err->message);
        err->status = status;
    }
    return status;
}

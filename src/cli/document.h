/* Help, the man page and shell completion, all from the rows of the commands. */
#ifndef LACUNA_CLI_DOCUMENT_H
#define LACUNA_CLI_DOCUMENT_H

#include "cli/command.h"

void document_overview(lac_text *out);
void document_command(const cli_command *command, lac_text *out);
void document_man(lac_text *out);        /* roff, man(7) */
void document_completion(lac_text *out); /* bash */

#endif

# Filled with the installation of headers, libraries, the command, man page and completion.

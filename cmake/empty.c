/* So that a library of test helpers exists before the first helper does. */
typedef int lac_empty_file;

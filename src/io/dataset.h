/* Data sets with labels, as the inputs that a network takes: what a *task* says, a small JSON
 * object that lies in the model's metadata (key lacuna.task) or in a meta.json beside the model:
 *
 *   {"task": "array_top1", "set": "sets/mnist/test2000", "input": "pixels",
 *    "preprocess": {"kind": "scale", "scale": 0.0039}, "value": 0.988, "n": 2000, "base": "/data"}
 *
 * Kinds: image_top1 (folder of images with labels.tsv), array_top1 (SET_u8.npy, SET_labels.npy, or
 * an IDX pair, or "glyphs:test"), features_top1 (x, y), sequence_top1 (x, y, length), sst2 (token
 * ids), stsb_spearman (pairs of token ids and a score). */
#ifndef LACUNA_IO_DATASET_H
#define LACUNA_IO_DATASET_H

#include <jansson.h>
#include <lacuna/graph.h>

/* All tasks of a model: from `meta_path`, else from its metadata, else from meta.json beside
 * `model_path` (those that name this file). An array (maybe empty) with `base` and `preprocess`
 * filled in; the caller's. A base in the metadata is relative to the model's folder; where that is
 * not there, it is $LACUNA_DATA. */
lac_status lac_tasks_find(json_t **tasks, const lac_graph *graph, const char *model_path,
                          const char *meta_path, lac_error *err);
/* Writes the tasks into the graph's metadata, so that a compressed file needs no flags again: their
 * bases as seen from the folder of `path`, where the file will lie. */
lac_status lac_tasks_keep_for(lac_graph *graph, const json_t *tasks, const char *path,
                              lac_error *err);
/* The same without bases, for a graph that goes to no file. */
lac_status lac_tasks_keep(lac_graph *graph, const json_t *tasks, lac_error *err);

/* The task of the part of `task`'s data that is for training, NULL when there is none: files
 * train_u8.npy, train_labels.npy or train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz] in
 * `folder`, or (`folder` NULL) beside the task's set; other draws of the glyphs. The caller's. */
lac_status lac_task_training(json_t **training, const json_t *task, const char *folder,
                             lac_error *err);

/* What the task calls its data: "set", else "x"; "" when it has neither. */
const char *lac_task_set(const json_t *task);

typedef struct lac_dataset lac_dataset;

typedef enum lac_metric { LAC_METRIC_TOP1, LAC_METRIC_SPEARMAN } lac_metric;

/* LAC_ERROR_UNSUPPORTED: a kind that lacuna does not score. */
lac_status lac_dataset_open(lac_dataset **dataset, const json_t *task, const lac_graph *graph,
                            lac_error *err);
void lac_dataset_close(lac_dataset *dataset);

int64_t lac_dataset_count(const lac_dataset *dataset); /* scored items */
lac_metric lac_dataset_metric(const lac_dataset *dataset);
const lac_graph *lac_dataset_graph(const lac_dataset *dataset);
const char *lac_dataset_name(const lac_dataset *dataset); /* "sets/mnist/test2000" */
/* Runs of the network per item: 1, or 2 for pairs. */
int lac_dataset_runs(const lac_dataset *dataset);
/* The graph output that is scored. */
int lac_dataset_output(const lac_dataset *dataset);
double lac_dataset_label(const lac_dataset *dataset, int64_t item); /* class, or score */
/* The value that the task states, NAN if none. */
double lac_dataset_stated(const lac_dataset *dataset);
/* Inputs of run `run` of `item`, batch 1, one tensor per graph input; the caller releases them. */
lac_status lac_dataset_sample(lac_dataset *dataset, int64_t item, int run, lac_tensor *in,
                              lac_error *err);

/* Calibration samples: of the training part where the set has one, else its first items, which then
 * must not be scored: *left_out says how many. */
int64_t lac_dataset_calibration_count(const lac_dataset *dataset, int64_t *left_out);
lac_status lac_dataset_calibration_sample(lac_dataset *dataset, int64_t index, lac_tensor *in,
                                          lac_error *err);
const char *lac_dataset_calibration_name(const lac_dataset *dataset);

#endif

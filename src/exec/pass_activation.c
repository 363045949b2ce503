/* GELU (with erf or tanh) and SiLU from the primitive operators that exporters write, in any order
 * of the commutative ones. */
#include "exec/pass.h"

#include "core/memory.h"

#include <string.h>

/* If `node` is `op` with an input made elsewhere and one that is the number, returns the other
 * input; else -1. Commutative. */
static int times_number(const lac_graph *graph, const lac_node *node, const char *op, double number)
{
    if (!lac_is_op(node, op) || node->n_in != 2)
        return -1;
    for (int i = 0; i < 2; i++)
        if (lac_is_number(graph, node->in[i], number))
            return node->in[1 - i];
    return -1;
}

static lac_node *made(const lac_graph *graph, int value)
{
    return lac_made_by(graph, value, NULL);
}

/* value == 1 + erf(x / sqrt 2): returns x, else -1. */
static int one_plus_erf(const lac_graph *graph, int value)
{
    int erf = times_number(graph, made(graph, value), "Add", 1);
    lac_node *node = erf >= 0 ? lac_made_by(graph, erf, "Erf") : NULL;
    lac_node *scale = node ? made(graph, node->in[0]) : NULL;
    if (lac_is_op(scale, "Div") && lac_is_number(graph, scale->in[1], 1.41421356237309515))
        return scale->in[0];
    return times_number(graph, scale, "Mul", 0.70710678118654752);
}

/* value == x * x * x in any form, for the given x. */
static bool is_cube(const lac_graph *graph, int value, int x)
{
    lac_node *node = made(graph, value);
    if (lac_is_op(node, "Pow"))
        return node->in[0] == x && lac_is_number(graph, node->in[1], 3);
    if (!lac_is_op(node, "Mul"))
        return false;
    for (int i = 0; i < 2; i++) {
        lac_node *square = made(graph, node->in[i]);
        if (node->in[1 - i] != x)
            continue;
        if (lac_is_op(square, "Mul") && square->in[0] == x && square->in[1] == x)
            return true;
        if (lac_is_op(square, "Pow") && square->in[0] == x &&
            lac_is_number(graph, square->in[1], 2))
            return true;
    }
    return false;
}

/* value == 1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)): returns x, else -1. */
static int one_plus_tanh(const lac_graph *graph, int value)
{
    int tanh_value = times_number(graph, made(graph, value), "Add", 1);
    lac_node *node = tanh_value >= 0 ? lac_made_by(graph, tanh_value, "Tanh") : NULL;
    int inner =
        node ? times_number(graph, made(graph, node->in[0]), "Mul", 0.79788456080286536) : -1;
    lac_node *sum = inner >= 0 ? lac_made_by(graph, inner, "Add") : NULL;
    for (int i = 0; sum && i < 2; i++) {
        int x = sum->in[i],
            cube = times_number(graph, made(graph, sum->in[1 - i]), "Mul", 0.044715);
        if (cube >= 0 && is_cube(graph, cube, x))
            return x;
    }
    return -1;
}

/* node == x * 0.5 * (1 + f(x)), the three factors in any order: returns x, else -1. */
static int half_times(const lac_graph *graph, const lac_node *node,
                      int (*one_plus)(const lac_graph *, int))
{
    int factor[4], count = 0, x = -1, form = -1;
    bool half = false;
    if (!lac_is_op(node, "Mul"))
        return -1;
    for (int i = 0; i < 2; i++) {
        lac_node *inner = lac_made_by(graph, node->in[i], "Mul");
        bool split = inner && lac_only_reader(graph, node->in[i]) == node &&
                     one_plus(graph, node->in[i]) < 0 && count < 2;
        factor[count++] = split ? inner->in[0] : node->in[i];
        if (split)
            factor[count++] = inner->in[1];
    }
    for (int i = 0; i < count; i++)
        if (form < 0 && one_plus(graph, factor[i]) >= 0)
            form = factor[i];
        else if (!half && lac_is_number(graph, factor[i], 0.5))
            half = true;
        else
            x = factor[i];
    return count == 3 && half && form >= 0 && one_plus(graph, form) == x ? x : -1;
}

static int sigmoid_times(const lac_graph *graph, const lac_node *node)
{
    if (!lac_is_op(node, "Mul"))
        return -1;
    for (int i = 0; i < 2; i++) {
        lac_node *sigmoid = lac_made_by(graph, node->in[i], "Sigmoid");
        if (sigmoid && sigmoid->in[0] == node->in[1 - i])
            return sigmoid->in[0];
    }
    return -1;
}

lac_status lac_pass_activation(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *node = &graph->nodes[n];
        lac_activation activation = LAC_ACT_GELU;
        int x = half_times(graph, node, one_plus_erf);
        if (x < 0 && (x = half_times(graph, node, one_plus_tanh)) >= 0)
            activation = LAC_ACT_GELU_TANH;
        if (x < 0 && (x = sigmoid_times(graph, node)) >= 0)
            activation = LAC_ACT_SILU;
        if (x < 0 || graph->values[x].dtype != LAC_F32)
            continue;
        node->domain =
            lac_arena_intern(graph->arena, LAC_EXEC_DOMAIN, strlen(LAC_EXEC_DOMAIN), err);
        node->op = lac_arena_intern(graph->arena, "Activation", 10, err);
        if (!node->domain || !node->op)
            return LAC_ERROR_MEMORY;
        node->n_in = 1;
        node->in[0] = x;
        LAC_TRY(lac_exec_set_activation(graph, node, activation, 0, 0, err));
    }
    return lac_graph_settle(graph, err);
}

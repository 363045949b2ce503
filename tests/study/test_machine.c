/* The ceilings of the machine: what is measured is possible, JSON there and back, the cache kept,
 * damaged, renewed; trials and races of synthetic layers; the break-even. */
#include "core/memory.h"
#include "core/text.h"
#include "study/break_even.h"
#include "study/machine.h"
#include "study/trial.h"

#include <lacuna/lacuna.h>

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

/* The one .json in the folder. */
static void cache_file(const char *folder, char *path, size_t size)
{
    int found = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strstr(entry->d_name, ".json")) {
            snprintf(path, size, "%s/%s", folder, entry->d_name);
            found++;
        }
    closedir(dir);
    assert_int_equal(found, 1);
}

static void remove_folder(const char *folder)
{
    char path[600];
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static void assert_possible(const lac_machine *m)
{
    assert_true(m->n_isas >= 1 && m->n_counts >= 1);
    assert_int_equal(m->count[0].threads, 1);
    assert_int_equal(m->count[m->n_counts - 1].threads, 2);
    assert_true(m->l1_bytes >= 4096 && m->l2_bytes >= m->l1_bytes);
    for (int i = 0; i < m->n_isas; i++) {
        /* No core reaches 10 T operations a second, none of this decade is below 10 million. */
        assert_true(m->peak[i].f32_gflops > 0.01 && m->peak[i].f32_gflops < 1e4);
        assert_true(m->peak[i].i8_gops > 0.01 && m->peak[i].i8_gops < 1e5);
    }
    for (int i = 0; i < 3; i++)
        assert_true(m->read_gbps[i] > 0.01 && m->read_gbps[i] < 1e4);
}

static void test_cache(void **unused)
{
    (void)unused;
    char folder[] = LACUNA_BINARY_DIR "/test_machine_XXXXXX", path[600];
    lac_error err = {0};
    lac_machine first, second;
    assert_non_null(mkdtemp(folder));
    lac_machine_options options = {.folder = folder, .threads = 2, .read_bytes = 1 << 20};
    check(lac_machine_open(&first, &options, &err), &err);
    assert_false(first.kept);
    assert_possible(&first);
    check(lac_machine_open(&second, &options, &err), &err);
    assert_true(second.kept);
    assert_string_equal(first.cpu, second.cpu);
    assert_string_equal(first.isa, second.isa);
    for (int i = 0; i < first.n_counts; i++)
        assert_true(first.count[i].read_gbps == second.count[i].read_gbps); /* all digits */

    cache_file(folder, path, sizeof path);
    char *good;
    size_t length;
    check(lac_read_file(&good, &length, path, 1 << 20, &err), &err);
    /* Cut anywhere, or with other figures: measured anew, and whole again afterwards. */
    static const char *const damages[] = {"\"l1_read_gbps\": -1", "\"l1_read_gbps\": \"fast\"",
                                          "\"l1_read_gbps\": 1e300"};
    for (int i = 0; i < 6; i++) {
        lac_text text = {0};
        char *at = strstr(good, "\"l1_read_gbps\"");
        assert_non_null(at);
        if (i < 3)
            lac_text_bytes(&text, good, length * (size_t)i / 3);
        else
            lac_text_add(&text, "%.*s%s%s", (int)(at - good), good, damages[i - 3],
                         at + strcspn(at, ",\n"));
        check(lac_write_file(path, text.data ? text.data : "", text.length, &err), &err);
        lac_text_release(&text);
        check(lac_machine_open(&second, &options, &err), &err);
        assert_false(second.kept);
        assert_possible(&second);
        check(lac_machine_open(&second, &options, &err), &err);
        assert_true(second.kept);
    }
    options.fresh = true;
    check(lac_machine_open(&second, &options, &err), &err);
    assert_false(second.kept);
    options.fresh = false;
    options.threads = 1; /* another key, another file */
    check(lac_machine_open(&second, &options, &err), &err);
    assert_false(second.kept);
    assert_int_equal(second.n_counts, 1);
    lac_free(good);
    remove_folder(folder);

    options.folder = "/proc/nowhere"; /* cannot be made: no error */
    check(lac_machine_open(&second, &options, &err), &err);
    assert_false(second.kept);
}

/* Every damaged value is refused, whatever its type. */
static void test_json(void **unused)
{
    (void)unused;
    lac_error err = {0};
    lac_machine m, back;
    lac_machine_options options = {.folder = "", .threads = 2, .read_bytes = 1 << 20};
    check(lac_machine_open(&m, &options, &err), &err);
    json_t *whole = lac_machine_json(&m);
    assert_non_null(whole);
    assert_true(lac_machine_read(&back, whole));
    assert_string_equal(back.microcode, m.microcode);
    assert_int_equal(back.n_isas, m.n_isas);
    assert_true(back.peak[m.n_isas - 1].i8_gops == m.peak[m.n_isas - 1].i8_gops);
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(whole, next, key, value)
    {
        char name[64];
        snprintf(name, sizeof name, "%s", key);
        json_t *damaged[] = {json_null(), json_integer(-3), json_string(""), json_array(),
                             json_real(-0.5)};
        for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
            json_t *copy = json_deep_copy(whole);
            bool text = json_is_string(value) && json_is_string(damaged[i]);
            json_object_set_new(copy, name, damaged[i]);
            assert_true(lac_machine_read(&back, copy) == text);
            json_object_del(copy, name);
            assert_false(lac_machine_read(&back, copy));
            json_decref(copy);
        }
    }
    json_t *counts = json_object_get(whole, "threads"); /* not in order */
    json_object_set_new(json_array_get(counts, 1), "threads", json_integer(1));
    assert_false(lac_machine_read(&back, whole));
    json_decref(whole);
    assert_false(lac_machine_read(&back, NULL));
}

static void test_roof(void **unused)
{
    (void)unused;
    lac_machine m = {.l1_bytes = 32 << 10,
                     .l2_bytes = 1 << 20,
                     .l3_bytes = 32 << 20,
                     .read_gbps = {200, 100, 80},
                     .n_counts = 2,
                     .count = {{1, 25, 100, 400}, {4, 40, 400, 1600}}};
    assert_int_equal(lac_machine_level(&m, 32 << 10, 1), LAC_LEVEL_L1);
    assert_int_equal(lac_machine_level(&m, (32 << 10) + 1, 1), LAC_LEVEL_L2);
    assert_int_equal(lac_machine_level(&m, (32 << 10) + 1, 2), LAC_LEVEL_L1);
    assert_int_equal(lac_machine_level(&m, 2 << 20, 1), LAC_LEVEL_L3);
    assert_int_equal(lac_machine_level(&m, 33 << 20, 1), LAC_LEVEL_DRAM);
    assert_true(lac_machine_gops(&m, LAC_F32, 1) == 100);
    assert_true(lac_machine_gops(&m, LAC_U8, 4) == 1600);
    assert_true(lac_machine_gops(&m, LAC_I8, 2) == 800);
    assert_true(lac_machine_gops(&m, LAC_I8, 8) == 1600);
    assert_true(lac_machine_gbps(&m, LAC_LEVEL_L2, 2) == 200);
    assert_true(lac_machine_gbps(&m, LAC_LEVEL_DRAM, 4) == 40);
    /* 2 operations a byte from L3: 160; from L1: the units' 100. */
    assert_true(lac_machine_roof(&m, LAC_U8, 1, 2e6, 1e6, 2 << 20) == 160);
    assert_true(lac_machine_roof(&m, LAC_F32, 1, 2e6, 1e6, 1 << 10) == 100);
    assert_string_equal(lac_level_name(LAC_LEVEL_DRAM), "DRAM");
}

static double share_of(const lac_trial_spec *spec, uint32_t activations)
{
    lac_error err = {0};
    uint32_t isa;
    lac_trial *trial;
    check(lac_isa(&isa, &err), &err);
    check(lac_trial_best(&trial, spec, activations, isa, false, &err), &err);
    lac_side side = {.trial = &trial, .copies = 1};
    check(lac_race(&side, 1, 0, &err), &err);
    assert_true(side.seconds > 0 && side.seconds < 1);
    assert_true(lac_trial_stored_bytes(trial) > 0);
    assert_true(lac_trial_bytes(trial) > lac_trial_stored_bytes(trial));
    double density = lac_trial_density(trial);
    lac_trial_free(trial);
    return density;
}

static void test_trials(void **unused)
{
    (void)unused;
    uint32_t bytes = LAC_BIT(LAC_U8) | LAC_BIT(LAC_I8), floats = LAC_BIT(LAC_F32);
    lac_trial_spec spec = {.layer = "gemm:m=9,n=48,k=64",
                           .format = "nm:n=1,m=4",
                           .weights = LAC_F32,
                           .sparsity = {.n = 1, .m = 4},
                           .seed = 3};
    assert_true(share_of(&spec, floats) == 0.25);
    spec.weights = LAC_I8;
    assert_true(share_of(&spec, bytes) == 0.25);
    spec.sparsity = (lac_sparsity){.rows = 16, .n = 1, .m = 8}; /* shared by 16 rows: 1:4 too */
    assert_true(share_of(&spec, bytes) == 0.125);
    spec.format = "dense";
    spec.sparsity = (lac_sparsity){.rows = 4, .cols = 4, .density = 0.5};
    double half = share_of(&spec, bytes);
    assert_true(half > 0.35 && half < 0.65 && fmod(half * 48 * 64, 16) == 0); /* whole blocks */
    spec.layer = "conv:c=16,h=5,w=6,k=8,r=3,s=3,pad=1";
    spec.sparsity = (lac_sparsity){.density = 1};
    assert_true(share_of(&spec, bytes) == 1);
    spec.format = "int8";
    spec.weights = LAC_F32;
    spec.bits = 8;
    spec.layer = "conv:c=16,h=5,w=6,k=8,r=1,s=1";
    assert_true(share_of(&spec, floats) > 0.98);

    lac_error err = {0};
    lac_trial *trial = NULL;
    double seconds;
    spec = (lac_trial_spec){.layer = "gemm:m=9,n=48,k=64",
                            .format = "nm:n=1,m=4",
                            .weights = LAC_F32,
                            .sparsity = {.density = 1}};
    assert_int_equal(lac_trial_best(&trial, &spec, floats, 0, false, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_trial_best(&trial, &spec, floats, 0, true, &err), LAC_ERROR_UNSUPPORTED);
    assert_int_equal(lac_trial_estimate(&seconds, &spec, floats, 0, false, &err), LAC_ERROR_INPUT);
    spec.layer = "nothing:m=3";
    assert_int_equal(lac_trial_best(&trial, &spec, floats, 0, false, &err), LAC_ERROR_UNSUPPORTED);
    assert_null(trial);
}

/* Allocations may fail anywhere. */
static void test_failures(void **unused)
{
    (void)unused;
    lac_error err = {0};
    uint32_t isa;
    check(lac_isa(&isa, &err), &err);
    lac_trial_spec spec = {.layer = "gemm:m=9,n=48,k=64",
                           .format = "nm:n=1,m=4",
                           .weights = LAC_I8,
                           .sparsity = {.n = 1, .m = 4}};
    lac_status status = LAC_ERROR_MEMORY;
    for (int n = 0; status != LAC_OK; n++) {
        lac_trial *trial = NULL;
        assert_true(n < 1000);
        lac_alloc_fail_after(n);
        status = lac_trial_best(&trial, &spec, LAC_BIT(LAC_U8), isa, false, &err);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK)
            lac_trial_free(trial);
    }
}

static void test_break_even(void **unused)
{
    (void)unused;
    lac_error err = {0};
    for (int measure = 0; measure < 2; measure++)
        for (int bytes = 0; bytes < 2; bytes++) {
            lac_break_even even;
            check(lac_break_even_find(&even, "gemm:m=32,n=128,k=256", bytes ? LAC_U8 : LAC_F32,
                                      NULL, measure, &err),
                  &err);
            assert_true(isnan(even.sparsity) || (even.sparsity >= 0 && even.sparsity < 1));
            assert_true(isnan(even.sparsity) == !even.format[0]);
            assert_true(even.measured == measure);
        }
    lac_break_even even; /* no kernel of packed weights: none, and no error */
    check(lac_break_even_find(&even, "conv:c=8,h=5,w=5,k=8,r=3,s=3,groups=8", LAC_F32, NULL, false,
                              &err),
          &err);
    assert_true(isnan(even.sparsity));
    assert_string_equal(even.format, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache),    cmocka_unit_test(test_json),
        cmocka_unit_test(test_roof),     cmocka_unit_test(test_trials),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_break_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

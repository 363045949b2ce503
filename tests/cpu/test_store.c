/* The store that plans of one session share: found under its whole key only, released once, by its
 * last user or with the store. */
#include "core/memory.h"

#include <lacuna/kernel.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int released, released_other;

static void release(void *object)
{
    released++;
    lac_free(object);
}

static void release_other(void *object)
{
    released_other++;
    lac_free(object);
}

static void test_share(void **state)
{
    (void)state;
    lac_store *store;
    int source[2] = {0};
    assert_int_equal(lac_store_make(&store, NULL), LAC_OK);
    void *object = lac_alloc(8, 1, NULL);
    assert_null(lac_store_find(store, source, "key", 3, release));
    assert_int_equal(lac_store_put(store, source, "key", 3, release, object, NULL), LAC_OK);
    assert_ptr_equal(lac_store_find(store, source, "key", 3, release), object);
    assert_null(lac_store_find(store, source + 1, "key", 3, release));
    assert_null(lac_store_find(store, source, "kez", 3, release));
    assert_null(lac_store_find(store, source, "key", 2, release));
    assert_null(lac_store_find(store, source, "key", 3, release_other));
    released = 0;
    lac_store_drop(store, release, object);
    assert_int_equal(released, 0); /* one user is left */
    lac_store_drop(store, release, object);
    assert_int_equal(released, 1);
    assert_null(lac_store_find(store, source, "key", 3, release));
    lac_store_drop(store, release, NULL);
    assert_int_equal(released, 1);
    lac_store_free(store);
    assert_int_equal(released, 1);
}

static void test_owned(void **state)
{
    (void)state;
    lac_store *store;
    int source = 0;
    assert_int_equal(lac_store_make(&store, NULL), LAC_OK);
    assert_int_equal(lac_store_put(store, &source, "a", 1, release, lac_alloc(8, 1, NULL), NULL),
                     LAC_OK);
    assert_int_equal(
        lac_store_put(store, &source, "a", 1, release_other, lac_alloc(8, 1, NULL), NULL), LAC_OK);
    released = released_other = 0;
    lac_store_free(store);
    assert_int_equal(released, 1);
    assert_int_equal(released_other, 1);
    lac_store_free(NULL);
}

/* Without a store, or without memory for an entry, the maker is the only user. */
static void test_alone(void **state)
{
    (void)state;
    lac_store *store;
    int source = 0;
    void *object = lac_alloc(8, 1, NULL);
    released = 0;
    assert_int_equal(lac_store_put(NULL, &source, "a", 1, release, object, NULL), LAC_OK);
    assert_null(lac_store_find(NULL, &source, "a", 1, release));
    lac_store_drop(NULL, release, object);
    assert_int_equal(released, 1);
    assert_int_equal(lac_store_make(&store, NULL), LAC_OK);
    object = lac_alloc(8, 1, NULL);
    lac_alloc_fail_after(0);
    assert_int_equal(lac_store_put(store, &source, "a", 1, release, object, NULL),
                     LAC_ERROR_MEMORY);
    lac_alloc_fail_after(-1);
    lac_store_drop(store, release, object);
    assert_int_equal(released, 2);
    lac_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_owned),
        cmocka_unit_test(test_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

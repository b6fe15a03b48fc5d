/*
 * Counts the guest's instructions: a plugin for `qemu-aarch64 -plugin count.so,out=FILE`.
 *
 * The guest asks for a reading with getpriority(PRIO_USER, MARK), which means nothing to any other program; the
 * count so far is appended to FILE as one line. The last line is the count at the end.
 *
 * What it needs of QEMU's plugin interface is declared here, because Debian's package brings no header. These
 * functions have been the same from QEMU 5.0 on; only the version that a plugin must name has changed, so the
 * compiler is told it: -DINTERFACE=1 up to QEMU 8, 2 from QEMU 9 on. -DMARK says which user number it is.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*)(unsigned int, void *), int registers,
                                          void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, void (*)(plugin_id, unsigned int, int64_t, uint64_t, uint64_t,
                                                                 uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                                 uint64_t));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*)(plugin_id, void *), void *data);

enum { NO_REGISTERS = 0, GETPRIORITY = 141, PRIO_USER = 2, MAX_THREADS = 256 };

/* One counter a thread, each written by that thread alone, and in cache lines of their own. */
static struct {
    uint64_t count;
    char unused[56];
} threads[MAX_THREADS];

static FILE *out;

static void write_count(void)
{
    uint64_t count = 0;
    for (int i = 0; i < MAX_THREADS; i++) {
        count += threads[i].count;
    }
    fprintf(out, "%" PRIu64 "\n", count);
    fflush(out);
}

static void on_executed(unsigned int thread, void *n_instructions)
{
    threads[thread % MAX_THREADS].count += (uintptr_t)n_instructions;
}

static void on_translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_executed, NO_REGISTERS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void on_syscall(plugin_id id, unsigned int thread, int64_t number, uint64_t which, uint64_t who, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)thread, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == GETPRIORITY && which == PRIO_USER && who == MARK) {
        write_count();
    }
}

static void at_end(plugin_id id, void *data)
{
    (void)id, (void)data;
    write_count();
}

EXPORT int qemu_plugin_version = INTERFACE;

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        }
    }
    if (out == NULL) {
        fprintf(stderr, "count: needs out=FILE, and must be able to write there\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, at_end, NULL);
    return 0;
}

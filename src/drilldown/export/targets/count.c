/* A plugin for QEMU that counts executed instructions by the step of the network that they belong to.

It reads the file "ranges": in each line the first address of a function, the address behind it, and its owner. At the
end it writes the file "counts": the number of instructions of each owner, from 0. A function that is in no range works for
the owner whose function ran last: so the time of a shared kernel belongs to the step that called it.

QEMU's header for plugins is in no package, so the few functions of it are declared here. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define VISIBLE __attribute__((visibility("default")))
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*call)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction, void (*call)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id, void *), void *data);

VISIBLE int qemu_plugin_version = PLUGIN_VERSION;

enum { MOST = 4096, ANY_OWNER = -1 };
static struct range {
    uint64_t begin, end;
    int owner;
} ranges[MOST];
static int range_count, current;
static uint64_t counts[MOST];

/* Instructions with the same owner that follow each other without a jump. */
struct sequence {
    int owner;
    uint64_t length;
};

static int owner_of(uint64_t address)
{
    int i;
    for (i = 0; i < range_count; i++) {
        if (ranges[i].begin <= address && address < ranges[i].end) {
            return ranges[i].owner;
        }
    }
    return ANY_OWNER;
}

static void execute(unsigned processor, void *data)
{
    const struct sequence *sequence = data;
    (void)processor;
    if (sequence->owner != ANY_OWNER) {
        current = sequence->owner;
    }
    counts[current] += sequence->length;
}

static void translate(plugin_id id, struct qemu_plugin_tb *block)
{
    struct sequence *sequence = NULL;
    size_t i;
    (void)id;
    for (i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        const int owner = owner_of(qemu_plugin_insn_vaddr(instruction));
        if (!sequence || sequence->owner != owner) {
            sequence = calloc(1, sizeof *sequence); /* QEMU may execute it until the end */
            if (!sequence) {
                abort();
            }
            sequence->owner = owner;
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, execute, 0, sequence);
        }
        sequence->length++;
    }
}

static void finish(plugin_id id, void *data)
{
    FILE *file = fopen("counts", "w");
    int i;
    (void)id, (void)data;
    for (i = 0; file && i < MOST; i++) {
        fprintf(file, "%" PRIu64 "\n", counts[i]);
    }
    if (file) {
        fclose(file);
    }
}

VISIBLE int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
    FILE *file = fopen("ranges", "r");
    (void)info, (void)count, (void)arguments;
    if (!file) {
        return 1;
    }
    while (range_count < MOST && fscanf(file, "%" SCNx64 " %" SCNx64 " %d", &ranges[range_count].begin,
                                        &ranges[range_count].end, &ranges[range_count].owner) == 3) {
        range_count++;
    }
    fclose(file);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}

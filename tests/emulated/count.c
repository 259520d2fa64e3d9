/* A plugin of qemu-user: prints how many instructions the program has run, whenever it calls the
 * system call whose number is given (-plugin count.so,mark=NUMBER).
 *
 * Declares what it uses of qemu's plugin interface (version 1), as Debian has no header of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t plugin;
typedef uint64_t word;
struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin, void (*)(plugin, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(plugin, void (*)(plugin, unsigned, int64_t, word, word,
                                                          word, word, word, word, word, word));

int qemu_plugin_version = 1;
static const int ADD = 0; /* the only operation of exec_inline */
static uint64_t instructions;
static int64_t mark;

static void translated(plugin id, struct qemu_plugin_tb *block) {
  qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &instructions,
                                           qemu_plugin_tb_n_insns(block));
}

static void called(plugin id, unsigned cpu, int64_t number, word a, word b, word c, word d, word e,
                   word f, word g, word h) {
  if (number == mark) {
    printf("%llu\n", (unsigned long long)instructions);
    fflush(stdout);
  }
}

int qemu_plugin_install(plugin id, const void *info, int argc, char **argv) {
  mark = atoll(argv[0] + sizeof "mark=" - 1);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  return 0;
}

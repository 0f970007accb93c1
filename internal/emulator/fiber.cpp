#include "fiber.h"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN 1
#endif
#endif
#ifdef EMULATOR_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define SYMBOL(name) TEXT(__USER_LABEL_PREFIX__) #name

extern "C" void emulator_switch(void** save, void* load);
extern "C" void emulator_enter();

// emulator_switch pushes the registers that a call preserves, and pops those of
// the other stack. A new stack's frame is such that it returns to emulator_enter.
#if defined(__x86_64__)
asm(".text\n.globl " SYMBOL(emulator_switch) "\n" SYMBOL(emulator_switch) ":\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".globl " SYMBOL(emulator_enter) "\n" SYMBOL(emulator_enter) ":\n"
    "callq *%rbx\n");
static const int saved_words = 6, entry_word = 4, return_word = 6;
#elif defined(__aarch64__)
asm(".text\n.p2align 2\n.globl " SYMBOL(emulator_switch) "\n" SYMBOL(emulator_switch) ":\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp, #0]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp, #0]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n"
    ".globl " SYMBOL(emulator_enter) "\n" SYMBOL(emulator_enter) ":\n"
    "blr x19\n");
static const int saved_words = 20, entry_word = 0, return_word = 11;
#else
#error "the emulator knows x86-64 and arm64"
#endif

namespace emulator {

void prepare(Fiber& f, void* bottom, size_t size, void (*entry)()) {
  // The stack pointer is a multiple of 16 where emulator_enter begins.
  uintptr_t top = (reinterpret_cast<uintptr_t>(bottom) + size) & ~uintptr_t(15);
  void** words = reinterpret_cast<void**>(top) - 2;
#if defined(__x86_64__)
  words -= saved_words + 1; // the return address is popped, too
  words[return_word] = reinterpret_cast<void*>(emulator_enter);
#else
  words -= saved_words;
  words[return_word] = reinterpret_cast<void*>(emulator_enter);
#endif
  for (int i = 0; i < saved_words; i++)
    if (i != return_word) words[i] = nullptr;
  words[entry_word] = reinterpret_cast<void*>(entry);
  f.stack_pointer = words;
  f.sanitizer_stack = nullptr;
  f.bottom = bottom;
  f.size = size;
}

void change(Fiber& from, Fiber& to, bool last) {
#ifdef EMULATOR_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &from.sanitizer_stack, to.bottom, to.size);
#else
  (void)last;
#endif
  emulator_switch(&from.stack_pointer, to.stack_pointer);
#ifdef EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(from.sanitizer_stack, nullptr, nullptr);
#endif
}

void arrived(Fiber& before) {
#ifdef EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &before.bottom, &before.size);
#else
  (void)before;
#endif
}

} // namespace emulator

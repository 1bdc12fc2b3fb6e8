// What a static executable does before main, left out where nothing of it is needed: a twentieth of
// what an ADD costs in all. The linker sends the calls here (--wrap).
#include <cstdlib>

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names.

// The start file registers all unwind tables, and the first throw then sorts them, for 28 million
// instructions. The linker has sorted them already (--eh-frame-hdr), and the unwinder looks there
// once nothing is registered.
void __wrap___register_frame_info(const void* /*tables*/, void* /*object*/) {}

void* __wrap___deregister_frame_info(const void* /*tables*/) {
  return nullptr;
}

// std::ios_base::Init::Init(), run for each file that includes <iostream>: sets up std::cout and
// its like with their locale. Only the command line uses them.
void __real__ZNSt8ios_base4InitC1Ev(void* self);
void __wrap__ZNSt8ios_base4InitC1Ev(void* self) {
  static const char* const command = std::getenv("CNI_COMMAND");
  if (command == nullptr || *command == '\0') {
    __real__ZNSt8ios_base4InitC1Ev(self);
  }
}

// OpenSSL asks the processor what it can do, in the start code of every process and once more when
// it is first used: cpuid is a trap to the hypervisor in a virtual machine. Once is enough.
void __real_OPENSSL_cpuid_setup();
void __wrap_OPENSSL_cpuid_setup() {
  static bool started = false;
  if (started) {
    __real_OPENSSL_cpuid_setup();
  }
  started = true;
}

// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

}  // extern "C"

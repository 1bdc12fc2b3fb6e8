// What a static executable does at its start, undone: it registers all of its unwind tables, and
// the first throw then sorts them, for 28 million instructions. The linker has sorted them already
// (--eh-frame-hdr), and the unwinder looks there once nothing is registered. The linker sends the
// start file's calls here (--wrap).
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names.
void __wrap___register_frame_info(const void* /*tables*/, void* /*object*/) {}

void* __wrap___deregister_frame_info(const void* /*tables*/) {
  return nullptr;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

}  // extern "C"

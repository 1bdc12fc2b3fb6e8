// peak FILE PROGRAM [ARGUMENT]...: runs the program and writes its peak resident memory, in KiB, to
// FILE.
//
// A process of its own, since what the kernel tells of a child begins with the peak of the memory
// that the child was spawned from: here, this program's own, which is smaller than any that is
// worth measuring.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 3) {
    return 2;
  }
  const pid_t child = vfork();
  if (child == 0) {
    execv(argv[2], argv + 2);
    _exit(127);
  }
  int status = 0;
  struct rusage usage;
  if (child < 0 || wait4(child, &status, 0, &usage) != child) {
    return 126;
  }
  const int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || dprintf(file, "%ld\n", usage.ru_maxrss) < 0) {
    return 126;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

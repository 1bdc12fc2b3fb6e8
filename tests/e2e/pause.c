// The process of a pod sandbox: holds its namespaces until the runtime asks it to end.
#include <signal.h>
#include <unistd.h>

static void end(int signal_number) {
  (void)signal_number;
  _exit(0);
}

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  for (;;) {
    pause();
  }
}

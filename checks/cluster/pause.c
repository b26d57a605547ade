/* PID 1 of a pod's sandbox: holds its namespaces, buries orphans, and leaves when asked to. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number) { _exit(number == SIGTERM || number == SIGINT ? 0 : 1); }
static void bury(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0); }

int main(void) {
    struct sigaction left = {.sa_handler = leave}, child = {.sa_handler = bury, .sa_flags = SA_NOCLDSTOP};
    if (sigaction(SIGTERM, &left, NULL) || sigaction(SIGINT, &left, NULL) || sigaction(SIGCHLD, &child, NULL)) return 1;
    for (;;) pause();
}

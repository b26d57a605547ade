/* Stands before the C library in the master alone: sets the wall clock to whatever a file says, and lets the disk fail while
   another file is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    const char *path = getenv("DANUBE_TEST_CLOCK");
    if (failed || clock != CLOCK_REALTIME || !path) return failed;
    FILE *file = fopen(path, "re");
    long long seconds = 0;
    if (file && fscanf(file, "%lld", &seconds) == 1) now->tv_sec += seconds;
    if (file) fclose(file);
    return 0;
}

/* Only the database fails: logs have tests of their own. */
static int fails(int fd) {
    const char *path = getenv("DANUBE_TEST_EIO");
    if (!path || access(path, F_OK) != 0) return 0;
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, "danube.db") != NULL;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}

/* Stands before the C library in the master alone: sets the wall clock to whatever a file says, lets the disk fail while
   another file is there, and keeps what is on the disk for sure: a copy of each file and folder as it was when it was last
   synced, under the file's own number. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* A number is given again when its file is gone; together with the time at which the file was made it is not. */
static int key_of(int folder, const char *name, char *key, size_t size, int *is_folder) {
    struct statx found;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(folder, name, flags, STATX_INO | STATX_BTIME | STATX_TYPE, &found) != 0) return -1;
    *is_folder = S_ISDIR(found.stx_mode);
    snprintf(key, size, "%llu-%lld.%09u", (unsigned long long)found.stx_ino, (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    return 0;
}

static void keep_names(int fd, FILE *out) {
    int folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = folder < 0 ? NULL : fdopendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char key[64];
        int is_folder;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (key_of(folder, entry->d_name, key, sizeof key, &is_folder) == 0)
            fprintf(out, "%s %c %s\n", key, is_folder ? 'd' : 'f', entry->d_name);
    }
    if (dir) closedir(dir);
}

static void keep_bytes(int fd, FILE *out) {
    char own[64], bytes[65536];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    int file = open(own, O_RDONLY | O_CLOEXEC);
    ssize_t got;
    while (file >= 0 && (got = read(file, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, got, out);
    if (file >= 0) close(file);
}

static void keep(int fd) {
    const char *disk = getenv("DANUBE_TEST_DISK");
    char key[64], path[4096], new[4200];
    int is_folder;
    if (!disk || key_of(fd, "", key, sizeof key, &is_folder) != 0) return;
    snprintf(path, sizeof path, "%s/%s", disk, key);
    snprintf(new, sizeof new, "%s.%ld", path, syscall(SYS_gettid));
    FILE *out = fopen(new, "we");
    if (!out) return;
    if (is_folder) keep_names(fd, out); else keep_bytes(fd, out);
    fclose(out);
    rename(new, path);
}

static int synced(int fd, int (*real)(int)) {
    if (fails(fd)) { errno = EIO; return -1; }
    int failed = real(fd);
    if (!failed) keep(fd);
    return failed;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return synced(fd, real);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    return synced(fd, real);
}

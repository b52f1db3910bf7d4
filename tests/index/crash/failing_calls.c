/* Makes the n-th system call that changes a file of one folder fail, for the tests of the commit
 * protocol. Loaded by LD_PRELOAD. Inert until fail_at() arms it; calls on files elsewhere neither
 * count nor fail.
 *
 * fail_at(folder, n, how): at the n-th call, `how` 1 sends SIGKILL before it is done, 2 fails with
 * EIO, 3 with ENOSPC, 4 does half of a write and then sends SIGKILL, any other only counts. With a
 * negative n all calls from the -n-th on fail: a disk that stays full. calls() says how many there
 * were.
 *
 * What is synced is only counted, or struck: the system keeps what a killed process has written, so
 * waiting for the disk would prove nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[4096];
static long at, counted;
static int how;

void fail_at(const char *path, long n, int mode) {
    snprintf(folder, sizeof folder, "%s", path);
    counted = 0;
    at = n;
    how = mode;
}

long calls(void) { return counted; }

static int ours_path(const char *path) {
    return folder[0] && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int ours(int fd) {
    char link[64], path[4096];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return ours_path(path);
}

/* 0: go on; 1: fail with errno set; 2: torn write. */
static int strike(void) {
    counted++;
    if (at > 0 ? counted != at : counted < -at) return 0;
    if (how == 1) kill(getpid(), SIGKILL);
    if (how == 4) return 2;
    if (how != 2 && how != 3) return 0;
    errno = how == 2 ? EIO : ENOSPC;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define TORN(done) do { done; kill(getpid(), SIGKILL); } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    int struck = ours(fd) ? strike() : 0;
    if (struck == 2) TORN(real(fd, data, size / 2));
    return struck ? -1 : real(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    int struck = ours(fd) ? strike() : 0;
    if (struck == 2) TORN(real(fd, data, size / 2, offset));
    return struck ? -1 : real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    int struck = ours(fd) ? strike() : 0;
    if (struck == 2) TORN(real(fd, data, size / 2, offset));
    return struck ? -1 : real(fd, data, size, offset);
}

#define ON_FD(name, arguments, ...) { \
    REAL(name); \
    int struck = ours(fd) ? strike() : 0; \
    if (struck == 2) kill(getpid(), SIGKILL); \
    return struck ? -1 : real arguments; }

#define SYNC(name) { \
    REAL(name); \
    if (!ours(fd)) return real(fd); \
    int struck = strike(); \
    if (struck == 2) kill(getpid(), SIGKILL); \
    return struck ? -1 : 0; }

int fsync(int fd) SYNC(fsync)
int fdatasync(int fd) SYNC(fdatasync)
int ftruncate(int fd, off_t size) ON_FD(ftruncate, (fd, size))
int ftruncate64(int fd, off64_t size) ON_FD(ftruncate64, (fd, size))

#define ON_PATH(name, arguments) { \
    REAL(name); \
    int struck = ours_path(path) ? strike() : 0; \
    if (struck == 2) kill(getpid(), SIGKILL); \
    return struck ? -1 : real arguments; }

int rename(const char *path, const char *to) ON_PATH(rename, (path, to))
int unlink(const char *path) ON_PATH(unlink, (path))

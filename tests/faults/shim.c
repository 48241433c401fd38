/* Loaded before a process: makes its n-th write below $FAULT_DIR fail, as a disk does.

   A write is a call that changes a file or says that it is on disk. The test and the process share
   the control block in the file $FAULT_CONTROL; tests/faults/shim.py has the same layout. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct control {
  /* counting while armed; calls first to first + span - 1 fail, with error; if torn, the first of
     them, where it is a write, puts half of its bytes on disk and says so */
  volatile int64_t armed, first, span, error, torn, count, fired;
  char call[32], path[480];
};

enum outcome { PASS, FAIL, HALF };

static struct control *control;
static const char *folder;
static size_t folder_length;
static char watched[65536]; /* by file descriptor */

__attribute__((constructor)) static void attach(void) {
  const char *file = getenv("FAULT_CONTROL");
  folder = getenv("FAULT_DIR");
  if (!file || !folder) return;
  folder_length = strlen(folder);
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int fd = real(file, O_RDWR);
  if (fd < 0) return;
  void *shared = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared != MAP_FAILED) control = shared;
}

static int below(const char *path) {
  return control && path && strncmp(path, folder, folder_length) == 0;
}

static int is_watched(int fd) { return control && fd >= 0 && fd < 65536 && watched[fd]; }

static void watch(int fd, int on) {
  if (fd >= 0 && fd < 65536) watched[fd] = on;
}

static enum outcome meet(const char *call, const char *path, int halves) {
  if (!control->armed) return PASS;
  int64_t n = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
  if (control->first <= 0 || n < control->first || n >= control->first + control->span) return PASS;
  if (__atomic_add_fetch(&control->fired, 1, __ATOMIC_SEQ_CST) == 1) {
    strncpy(control->call, call, sizeof control->call - 1);
    strncpy(control->path, path, sizeof control->path - 1);
  }
  if (control->torn && halves && n == control->first) return HALF;
  errno = (int)control->error;
  return FAIL;
}

#define REAL(name)                     \
  static __typeof__(name) *real;       \
  if (!real) real = dlsym(RTLD_NEXT, #name)

/* Opening is a write where it makes a file. */
#define OPEN(name, params, args)                                                          \
  int name params {                                                                       \
    REAL(name);                                                                           \
    mode_t mode = 0;                                                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                  \
      va_list more;                                                                       \
      va_start(more, flags);                                                              \
      mode = va_arg(more, mode_t);                                                        \
      va_end(more);                                                                       \
    }                                                                                     \
    int ours = below(path);                                                               \
    if (ours && (flags & O_CREAT) && meet(#name, path, 0) == FAIL) return -1;             \
    int fd = real args;                                                                   \
    watch(fd, ours);                                                                      \
    return fd;                                                                            \
  }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

int close(int fd) {
  REAL(close);
  watch(fd, 0);
  return real(fd);
}

#define WRITE(name, params, args)                             \
  ssize_t name params {                                       \
    REAL(name);                                               \
    if (is_watched(fd)) switch (meet(#name, "", size > 1)) {  \
      case FAIL: return -1;                                   \
      case HALF: size /= 2; break;                            \
      case PASS: break;                                       \
    }                                                         \
    return real args;                                         \
  }
WRITE(write, (int fd, const void *from, size_t size), (fd, from, size))
WRITE(pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRITE(pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))

#define ON_FILE(name, params, args)                               \
  int name params {                                               \
    REAL(name);                                                   \
    if (is_watched(fd) && meet(#name, "", 0) == FAIL) return -1;  \
    return real args;                                             \
  }
ON_FILE(fsync, (int fd), (fd))
ON_FILE(fdatasync, (int fd), (fd))
ON_FILE(ftruncate, (int fd, off_t size), (fd, size))
ON_FILE(ftruncate64, (int fd, off64_t size), (fd, size))

#define ON_PATH(name, params, args)                               \
  int name params {                                               \
    REAL(name);                                                   \
    if (below(path) && meet(#name, path, 0) == FAIL) return -1;   \
    return real args;                                             \
  }
ON_PATH(rename, (const char *from, const char *path), (from, path))
ON_PATH(renameat, (int at, const char *from, int to, const char *path), (at, from, to, path))
ON_PATH(unlink, (const char *path), (path))
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))

/*
 * Stands between a process and its files (LD_PRELOAD) and notes every write under one folder that no fsync has covered yet, so that a
 * test can afterwards put the folder into a state in which a power loss may have left it. Only for tests.
 *
 * SHIM_FOLDER        the folder, absolute
 * SHIM_JOURNAL       a folder outside of it for the notes
 * SHIM_IGNORE_FSYNC  a disk that lies: syncs of files whose names end so cover nothing ("" is none, "*" is all)
 * SHIM_SYNC_US       how long a sync takes, in microseconds: the longer, the more often a kill finds writes that are not synced
 *
 * For each file f of the folder there is one journal file: its path with '/' as '%'. It is a list of records
 *
 *   u32 magic, u32 kind, u64 offset, u64 size before, u64 bytes of old, u64 bytes of new, then old, then new
 *
 * written before the write itself, and is emptied after each sync of f: what it lists when the process is killed is what a power loss
 * could have taken. `old` is what stood where the write went. Kinds: 1 write, 2 truncate (offset is the new size, old what was cut
 * off), 3 created. The file `counts` holds u64 counters: writes, syncs, truncates, calls that are not understood.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 4096
#define MAX_FILES 256
#define MAGIC 0x43414452u

enum { WRITES, SYNCS, TRUNCATES, FOREIGN, COUNTERS };
enum { KIND_WRITE = 1, KIND_TRUNCATE = 2, KIND_CREATE = 3 };

struct tracked {
  char path[PATH_MAX];
  int journal;
  int reader; /* a descriptor of our own: the application's may be for writing only */
  int lies;
};

static struct tracked files[MAX_FILES];
static int file_count;
static short file_of[MAX_FD]; /* index + 1 */
static char folder[PATH_MAX];
static size_t folder_length;
static char journals[PATH_MAX];
static const char *ignored = "";
static useconds_t sync_time;
static volatile uint64_t *counters;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The calls of ours go to the kernel directly: through libc they would come back here. */
static int raw_open(const char *path, int flags, int mode) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode); }
static ssize_t raw_write(int fd, const void *data, size_t size) { return syscall(SYS_write, fd, data, size); }

__attribute__((constructor)) static void begin(void) {
  const char *root = getenv("SHIM_FOLDER");
  const char *notes = getenv("SHIM_JOURNAL");
  if (!root || !notes || !*root || !*notes) return;
  snprintf(journals, sizeof journals, "%s", notes);
  if (getenv("SHIM_IGNORE_FSYNC")) ignored = getenv("SHIM_IGNORE_FSYNC");
  if (getenv("SHIM_SYNC_US")) sync_time = (useconds_t)atoi(getenv("SHIM_SYNC_US"));
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/counts", journals);
  int fd = raw_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || syscall(SYS_ftruncate, fd, (off_t)(COUNTERS * sizeof(uint64_t))) != 0) return;
  void *map = mmap(NULL, COUNTERS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (map == MAP_FAILED) return;
  counters = map;
  snprintf(folder, sizeof folder, "%s/", root);
  folder_length = strlen(folder);
}

static void count(int which) {
  if (counters) __atomic_fetch_add(&counters[which], 1, __ATOMIC_RELAXED);
}

static void die(const char *what) {
  fprintf(stderr, "shim: %s: %s\n", what, strerror(errno));
  abort();
}

static int ends_with(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return b > 0 && a >= b && strcmp(text + a - b, end) == 0;
}

/* Shared memory of the database is rebuilt by whoever opens it first, so nobody relies on it after a power loss. */
static int is_tracked(const char *path) {
  return folder_length > 0 && strncmp(path, folder, folder_length) == 0 && !ends_with(path, "-shm");
}

static void note(struct tracked *file, uint32_t kind, uint64_t offset, uint64_t before, const void *old, uint64_t old_size,
                 const struct iovec *parts, int part_count) {
  uint64_t new_size = 0;
  for (int i = 0; i < part_count; i++) new_size += parts[i].iov_len;
  struct {
    uint32_t magic, kind;
    uint64_t offset, before, old_size, new_size;
  } head = {MAGIC, kind, offset, before, old_size, new_size};
  size_t total = sizeof head + old_size + new_size;
  char *record = malloc(total);
  if (!record) die("no memory");
  memcpy(record, &head, sizeof head);
  if (old_size) memcpy(record + sizeof head, old, old_size);
  size_t at = sizeof head + old_size;
  for (int i = 0; i < part_count; i++) {
    memcpy(record + at, parts[i].iov_base, parts[i].iov_len);
    at += parts[i].iov_len;
  }
  /* One call, so that a kill leaves a record whole or not at all. */
  if (raw_write(file->journal, record, total) != (ssize_t)total) die("the journal cannot be written");
  free(record);
}

static int track(const char *path) {
  for (int i = 0; i < file_count; i++)
    if (strcmp(files[i].path, path) == 0) return i;
  if (file_count == MAX_FILES) die("too many files");
  struct tracked *file = &files[file_count];
  snprintf(file->path, sizeof file->path, "%s", path);
  char name[PATH_MAX], journal[PATH_MAX * 2 + 16];
  snprintf(name, sizeof name, "%s", path + folder_length);
  for (char *c = name; *c; c++)
    if (*c == '/') *c = '%';
  snprintf(journal, sizeof journal, "%s/%s.journal", journals, name);
  file->journal = raw_open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  file->reader = -1;
  file->lies = strcmp(ignored, "*") == 0 || ends_with(path, ignored);
  if (file->journal < 0) die("the journal cannot be opened");
  return file_count++;
}

static int absolute(int directory, const char *path, char *out) {
  if (path[0] == '/') return snprintf(out, PATH_MAX, "%s", path) < PATH_MAX;
  char base[PATH_MAX];
  if (directory == AT_FDCWD) {
    if (!getcwd(base, sizeof base)) return 0;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length < 0) return 0;
    base[length] = 0;
  }
  return snprintf(out, PATH_MAX, "%s/%s", base, path) < PATH_MAX;
}

static int open_tracked(int directory, const char *path, int flags, int mode) {
  char full[PATH_MAX];
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  if (folder_length == 0 || !writes || (flags & O_DIRECTORY) || !absolute(directory, path, full) || !is_tracked(full))
    return (int)syscall(SYS_openat, directory, path, flags, mode);
  pthread_mutex_lock(&lock);
  int index = track(full);
  struct tracked *file = &files[index];
  struct stat before;
  int existed = stat(full, &before) == 0;
  if (existed && (flags & O_TRUNC) && before.st_size > 0) count(FOREIGN);
  if (!existed && (flags & O_CREAT)) note(file, KIND_CREATE, 0, 0, NULL, 0, NULL, 0);
  int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
  int error = errno;
  if (fd >= 0) {
    if (fd >= MAX_FD) die("too many descriptors");
    /* A file removed and made again is another one. */
    if (!existed && file->reader >= 0) {
      syscall(SYS_close, file->reader);
      file->reader = -1;
    }
    if (file->reader < 0) file->reader = raw_open(full, O_RDONLY | O_CLOEXEC, 0);
    file_of[fd] = (short)(index + 1);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

static struct tracked *tracked_of(int fd) {
  return folder_length > 0 && fd >= 0 && fd < MAX_FD && file_of[fd] ? &files[file_of[fd] - 1] : NULL;
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open_tracked(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open_tracked(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int directory, const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open_tracked(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open_tracked(directory, path, flags | O_LARGEFILE, mode);
}

int close(int fd) {
  pthread_mutex_lock(&lock);
  if (tracked_of(fd)) file_of[fd] = 0;
  pthread_mutex_unlock(&lock);
  return (int)syscall(SYS_close, fd);
}

/* Notes what stands where this write goes; the lock is held until the write is done. */
static void before_write(int fd, struct tracked *file, const struct iovec *parts, int part_count, off_t offset) {
  size_t size = 0;
  for (int i = 0; i < part_count; i++) size += parts[i].iov_len;
  struct stat now;
  if (fstat(fd, &now) != 0) die("fstat");
  size_t held = offset >= now.st_size ? 0 : (size_t)(now.st_size - offset) < size ? (size_t)(now.st_size - offset) : size;
  char *old = malloc(held + 1);
  if (!old) die("no memory");
  if (held && syscall(SYS_pread64, file->reader, old, held, offset) != (ssize_t)held) die("what is overwritten cannot be read");
  note(file, KIND_WRITE, (uint64_t)offset, (uint64_t)now.st_size, old, held, parts, part_count);
  free(old);
  count(WRITES);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  struct tracked *file = tracked_of(fd);
  if (!file) return syscall(SYS_pwrite64, fd, data, size, offset);
  pthread_mutex_lock(&lock);
  struct iovec part = {(void *)data, size};
  before_write(fd, file, &part, 1, offset);
  ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset);
  pthread_mutex_unlock(&lock);
  return done;
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return pwrite(fd, data, size, offset); }

static off_t position(int fd) {
  int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
  struct stat now;
  if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &now) == 0) return now.st_size;
  return (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t size) {
  struct tracked *file = tracked_of(fd);
  if (!file) return syscall(SYS_write, fd, data, size);
  pthread_mutex_lock(&lock);
  struct iovec part = {(void *)data, size};
  before_write(fd, file, &part, 1, position(fd));
  ssize_t done = syscall(SYS_write, fd, data, size);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int part_count) {
  struct tracked *file = tracked_of(fd);
  if (!file) return syscall(SYS_writev, fd, parts, part_count);
  pthread_mutex_lock(&lock);
  before_write(fd, file, parts, part_count, position(fd));
  ssize_t done = syscall(SYS_writev, fd, parts, part_count);
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t pwritev(int fd, const struct iovec *parts, int part_count, off_t offset) {
  struct tracked *file = tracked_of(fd);
  if (!file) return syscall(SYS_pwritev, fd, parts, part_count, offset, 0);
  pthread_mutex_lock(&lock);
  before_write(fd, file, parts, part_count, offset);
  ssize_t done = syscall(SYS_pwritev, fd, parts, part_count, offset, 0);
  pthread_mutex_unlock(&lock);
  return done;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int part_count, off_t offset) { return pwritev(fd, parts, part_count, offset); }

int ftruncate(int fd, off_t size) {
  struct tracked *file = tracked_of(fd);
  if (!file) return (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&lock);
  struct stat now;
  if (fstat(fd, &now) != 0) die("fstat");
  size_t cut = size < now.st_size ? (size_t)(now.st_size - size) : 0;
  char *old = malloc(cut + 1);
  if (!old) die("no memory");
  if (cut && syscall(SYS_pread64, file->reader, old, cut, size) != (ssize_t)cut) die("what is cut off cannot be read");
  note(file, KIND_TRUNCATE, (uint64_t)size, (uint64_t)now.st_size, old, cut, NULL, 0);
  free(old);
  count(TRUNCATES);
  int done = (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_unlock(&lock);
  return done;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

static int synced(int fd, long call) {
  struct tracked *file = tracked_of(fd);
  if (!file) return (int)syscall(call, fd);
  /* What the kernel holds outlives a killed process, so the real disk need not be waited for: the notes decide what is kept. */
  pthread_mutex_lock(&lock);
  count(SYNCS);
  if (sync_time) usleep(sync_time);
  if (!file->lies && syscall(SYS_ftruncate, file->journal, (off_t)0) != 0) die("the journal cannot be emptied");
  pthread_mutex_unlock(&lock);
  return 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* Nothing here is known to use these on its data; a test asserts that the count stays 0. */
int fallocate(int fd, int mode, off_t offset, off_t size) {
  if (tracked_of(fd)) count(FOREIGN);
  return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}
int fallocate64(int fd, int mode, off_t offset, off_t size) { return fallocate(fd, mode, offset, size); }
int posix_fallocate(int fd, off_t offset, off_t size) {
  if (tracked_of(fd)) count(FOREIGN);
  return syscall(SYS_fallocate, fd, 0, offset, size) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off_t offset, off_t size) { return posix_fallocate(fd, offset, size); }
ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t size, unsigned flags) {
  if (tracked_of(to)) count(FOREIGN);
  return syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
}

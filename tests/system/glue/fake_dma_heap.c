/* Preloaded: a CMA heap of memfds, for kernels without /dev/dma_heap, from which libcamera allocates its buffers.
 *   open("/dev/dma_heap/linux,cma")             -> a memfd that represents the heap
 *   ioctl(heap, DMA_HEAP_IOCTL_ALLOC)           -> a memfd of that size
 *   ioctl(any, DMA_BUF_IOCTL_SYNC, _SET_NAME)   -> success: a memfd needs neither */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_file(const char *path, int flags, mode_t mode) {
  if (path && !strcmp(path, "/dev/dma_heap/linux,cma"))
    return memfd_create("heap", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  return syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

/* The C library declares the path as never NULL; it still passes NULL on to the kernel, and so does this. */
#define OPEN(name)                              \
  int name(const char *path, int flags, ...) {  \
    mode_t mode = 0;                            \
    if (flags & (O_CREAT | __O_TMPFILE)) {      \
      va_list more;                             \
      va_start(more, flags);                    \
      mode = va_arg(more, mode_t);              \
      va_end(more);                             \
    }                                           \
    return open_file(path, flags, mode);        \
  }
OPEN(open)
OPEN(open64)
int __open_2(const char *path, int flags) { return open_file(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_file(path, flags, 0); }

int ioctl(int fd, unsigned long request, ...) {
  va_list more;
  va_start(more, request);
  void *argument = va_arg(more, void *);
  va_end(more);
  switch ((unsigned)request) {
  case (unsigned)DMA_HEAP_IOCTL_ALLOC: {
    struct dma_heap_allocation_data *wanted = argument;
    int buffer = memfd_create("buffer", MFD_CLOEXEC);
    if (buffer < 0) return -1;
    if (ftruncate(buffer, wanted->len)) {
      close(buffer);
      return -1;
    }
    wanted->fd = buffer;
    return 0;
  }
  case (unsigned)DMA_BUF_IOCTL_SYNC:
  case (unsigned)DMA_BUF_SET_NAME_A:
  case (unsigned)DMA_BUF_SET_NAME_B:
    return 0;
  default:
    return syscall(SYS_ioctl, fd, request, argument);
  }
}

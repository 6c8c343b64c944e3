/* A driver without a card. Memory of the card is memory of the host, copies are made, kernels are not run: they are written into the log. So a program
 * with the feature `cuda` runs with its own code as it is, and what it launches is counted; its numbers are zeros, since memory starts as zeros. */
#include "log.h"
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>

static int object;

/* Whole pages of a large allocation are never touched, so a network needs little. MTIDS_DRY_MEMORY is the size of the card in bytes. */
static size_t taken, most_taken;
static size_t size_of_card(void) {
  const char *text = getenv("MTIDS_DRY_MEMORY");
  return text ? strtoull(text, NULL, 10) : (size_t)1 << 37;
}
static void release(void *at) {
  if (at) __atomic_sub_fetch(&taken, malloc_usable_size(at), __ATOMIC_SEQ_CST);
  free(at);
}
static int allocate(void **at, size_t bytes) {
  if (!(*at = calloc(1, bytes ? bytes : 1))) return 2;
  size_t now = __atomic_add_fetch(&taken, malloc_usable_size(*at), __ATOMIC_SEQ_CST);
  if (now <= size_of_card()) {
    size_t most = __atomic_load_n(&most_taken, __ATOMIC_SEQ_CST);
    while (now > most && !__atomic_compare_exchange_n(&most_taken, &most, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return 0;
  }
  release(*at);
  *at = NULL;
  return 2;
}

int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal == 0 ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, (size_t)length, "dry card %d", device); return 0; }
/* 75 and 76 are the generation, 115 whether memory comes in the order of the stream. */
int cuDeviceGetAttribute(int *value, int attribute, int device) { (void)device; *value = attribute == 75 ? 8 : attribute == 76 ? 0 : 1; return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { (void)device; *bytes = size_of_card(); return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { *total = size_of_card(); *available = *total - taken; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = &object; return 0; }
int cuCtxGetCurrent(void **context) { *context = &object; return 0; }
int cuGetErrorName(int status, const char **name) { (void)status; *name = "dry card"; return 0; }
int cuGetErrorString(int status, const char **text) { (void)status; *text = "dry card"; return 0; }
int cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = &object; return 0; }
/* Events are no launches: card_step counts lines that begin with "event" by themselves. */
int cuEventCreate(void **event, unsigned flags) { (void)flags; launched("event: created"); *event = &object; return 0; }
int cuEventDestroy_v2(void *event) { (void)event; launched("event: destroyed"); return 0; }
int cuEventRecord(void *event, void *stream) { (void)event, (void)stream; launched("event: recorded"); return 0; }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { (void)stream, (void)event, (void)flags; launched("event: waited for"); return 0; }
int cuStreamIsCapturing(void *stream, int *status) { (void)stream; *status = 0; return 0; }

/* The pool: freed memory is the host's again at once, so only numbers are kept. A pool that is not this one is refused. 4 is the threshold of giving memory
 * back, 6 the most reserved, 8 the most used. */
static uint64_t threshold;
int cuDeviceGetDefaultMemPool(void **pool, int device) { (void)device; *pool = &object; return 0; }
int cuMemPoolSetAttribute(void *pool, int attribute, uint64_t *value) {
  if (pool != &object || attribute != 4) return 1;
  threshold = *value;
  launched("pool: threshold");
  return 0;
}
int cuMemPoolGetAttribute(void *pool, int attribute, uint64_t *value) {
  if (pool != &object) return 1;
  *value = attribute == 4 ? threshold : attribute == 6 || attribute == 8 ? most_taken : taken;
  return 0;
}
int cuMemPoolTrimTo(void *pool, size_t kept) { (void)kept; return pool == &object ? 0 : 1; }

int cuMemAlloc_v2(void **at, size_t bytes) { return allocate(at, bytes); }
int cuMemAllocAsync(void **at, size_t bytes, void *stream) { (void)stream; return allocate(at, bytes); }
int cuMemFree_v2(void *at) { release(at); return 0; }
int cuMemFreeAsync(void *at, void *stream) { (void)stream; release(at); return 0; }
int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) { (void)flags; return (*at = calloc(1, bytes ? bytes : 1)) ? 0 : 2; }
int cuMemFreeHost(void *at) { free(at); return 0; }

static int copy(const char *what, void *into, const void *from, size_t bytes) {
  launched(what);
  memcpy(into, from, bytes);
  return 0;
}
int cuMemcpyHtoD_v2(void *into, const void *from, size_t bytes) { return copy("copy to the card", into, from, bytes); }
int cuMemcpyHtoDAsync_v2(void *into, const void *from, size_t bytes, void *stream) { (void)stream; return copy("copy to the card", into, from, bytes); }
int cuMemcpyDtoH_v2(void *into, const void *from, size_t bytes) { return copy("copy to the host", into, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *into, const void *from, size_t bytes, void *stream) { (void)stream; return copy("copy to the host", into, from, bytes); }
int cuMemcpyDtoD_v2(void *into, const void *from, size_t bytes) { return copy("copy on the card", into, from, bytes); }
int cuMemcpyDtoDAsync_v2(void *into, const void *from, size_t bytes, void *stream) { (void)stream; return copy("copy on the card", into, from, bytes); }

static int fill(void *at, unsigned char value, size_t bytes) {
  launched("fill");
  /* Zeros are there already, unless memory was written by a copy. */
  memset(at, value, bytes);
  return 0;
}
int cuMemsetD8_v2(void *at, unsigned char value, size_t bytes) { return fill(at, value, bytes); }
int cuMemsetD8Async(void *at, unsigned char value, size_t bytes, void *stream) { (void)stream; return fill(at, value, bytes); }

/* A function of a module is its name. */
int cuModuleLoadData(void **module, const void *image) { (void)image; *module = &object; return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
  (void)module;
  return (*function = strdup(name)) ? 0 : 2;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream,
                   void **arguments, void **extra) {
  (void)shared, (void)stream, (void)arguments, (void)extra;
  if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || bx == 0 || (size_t)bx * by * bz > 1024 || by == 0 || bz == 0) return 1;
  launched(function);
  return 0;
}

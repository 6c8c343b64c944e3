/* Kernels in one source for the card and, by the host's compiler, for tests without one.
 *
 * A kernel is a sequence of phases. On the card a phase is the work of one thread followed by a barrier; on the host it is a loop over all
 * threads of a block. So a variable of one phase is not seen by the next: what passes between them lies in SHARED memory. The code is C that is
 * C++ too. Who includes this has defined ARGUMENTS, the parameters that all its kernels have, and NAMES, the same without types.
 */
#include <math.h>
#include <stddef.h>

/* Threads of a block; norm/kernel.rs, rows.rs and update/table.rs have the same number. */
#define THREADS 256

#define JOINED(name, suffix) name##suffix
#define JOIN(name, suffix) JOINED(name, suffix)

#ifdef __CUDACC__
#define SHARED __shared__
#define PHASE for (unsigned thread = threadIdx.x, once = 1; once; once = 0, __syncthreads())
#define KERNEL(name) \
  static __device__ void JOIN(name##_block, SUFFIX)(unsigned bx, unsigned by, ARGUMENTS); \
  extern "C" __global__ void JOIN(name, SUFFIX)(ARGUMENTS) { JOIN(name##_block, SUFFIX)(blockIdx.x, blockIdx.y, NAMES); } \
  static __device__ void JOIN(name##_block, SUFFIX)(unsigned bx, unsigned by, ARGUMENTS)
#else
#define SHARED
#define PHASE for (unsigned thread = 0; thread < THREADS; thread++)
#define KERNEL(name) \
  static void JOIN(name##_block, SUFFIX)(unsigned bx, unsigned by, ARGUMENTS); \
  void JOIN(mtids_##name, SUFFIX)(unsigned width, unsigned height, ARGUMENTS); \
  void JOIN(mtids_##name, SUFFIX)(unsigned width, unsigned height, ARGUMENTS) { \
    for (unsigned by = 0; by < height; by++) \
      for (unsigned bx = 0; bx < width; bx++) JOIN(name##_block, SUFFIX)(bx, by, NAMES); \
  } \
  static void JOIN(name##_block, SUFFIX)(unsigned bx, unsigned by, ARGUMENTS)
#endif

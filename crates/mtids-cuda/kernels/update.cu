/* Norm, clipping and updates of many tensors at once (kernel.h).
 *
 * `table` has WORDS words for each tensor, and a block works on CHUNK entries of one tensor: block 0 on the first of the first tensor, and so on. */

/* What a kernel is asked for; update/table.rs has the same numbers. */
#define NESTEROV 1u
/* Entries that a block works on, and words of a tensor in the table; update/table.rs has the same numbers. */
#define CHUNK 4096
#define WORDS 7

#define ARGUMENTS \
  const unsigned long long *table, unsigned tensors, unsigned blocks, const double *total, double *parts, double a, double b, double c, double d, \
      double e, unsigned flags
#define NAMES table, tensors, blocks, total, parts, a, b, c, d, e, flags
#include "kernel.h"

#define REAL float
#define SUFFIX _f32
#define ROOT sqrtf
#include "update.h"
#undef REAL
#undef SUFFIX
#undef ROOT
#define REAL double
#define SUFFIX _f64
#define ROOT sqrt
#include "update.h"

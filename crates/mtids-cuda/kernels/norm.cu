/* Batch norm, a sum and a rectifier as kernels (kernel.h). */
/* Added to variances; norm/mod.rs has the same number. */
#define EPSILON 1e-5
/* What a kernel is asked for; norm/launch.rs has the same numbers. */
#define RECTIFY 1u
#define ADD 2u
#define FOLLOW 4u

#define ARGUMENTS \
  const REAL *first, const REAL *second, const REAL *third, const REAL *weight, const REAL *bias, const REAL *mean, const REAL *variance, \
      const REAL *sums, REAL *result, double *parts, unsigned batch, unsigned channels, unsigned cells, unsigned splits, unsigned flags
#define NAMES first, second, third, weight, bias, mean, variance, sums, result, parts, batch, channels, cells, splits, flags
#include "kernel.h"

#define REAL float
#define SUFFIX _f32
#include "norm.h"
#undef REAL
#undef SUFFIX
#define REAL double
#define SUFFIX _f64
#include "norm.h"

/* Soft-max and its logarithms over the last axis (kernel.h). A thread is a row of `row_width` entries.
 *
 * With SOFTMAX the result is exp(x) / sum, with LOGARITHM the logarithm of it, with SUM the logarithm of the sum, one number for each row. The largest
 * entry is taken out first, and sums are in double precision. */

/* What is computed; rows.rs has the same numbers. */
#define SOFTMAX 0u
#define LOGARITHM 1u

#define ARGUMENTS const REAL *x, const REAL *y, const REAL *gradient, REAL *result, unsigned rows, unsigned row_width, unsigned kind
#define NAMES x, y, gradient, result, rows, row_width, kind
#include "kernel.h"

#define REAL float
#define SUFFIX _f32
#include "rows.h"
#undef REAL
#undef SUFFIX
#define REAL double
#define SUFFIX _f64
#include "rows.h"

/* The kernels of rows.cu for one type of entries, REAL, whose names end in SUFFIX. */

/* From `x` into `result`. */
KERNEL(rows_forward) {
  PHASE {
    const unsigned row = bx * THREADS + thread;
    if (row < rows) {
      const REAL *entries = x + (size_t)row * row_width;
      double most = entries[0], sum = 0;
      for (unsigned at = 1; at < row_width; at++) most = entries[at] > most ? entries[at] : most;
      for (unsigned at = 0; at < row_width; at++) sum += exp((double)entries[at] - most);
      const double logarithm = most + log(sum);
      REAL *into = result + (size_t)row * row_width;
      if (kind == SOFTMAX)
        for (unsigned at = 0; at < row_width; at++) into[at] = (REAL)(exp((double)entries[at] - most) / sum);
      else if (kind == LOGARITHM)
        for (unsigned at = 0; at < row_width; at++) into[at] = (REAL)((double)entries[at] - logarithm);
      else
        result[row] = (REAL)logarithm;
    }
  }
}

/* The gradient of `x` into `result`; `y` is what rows_forward gave. */
KERNEL(rows_backward) {
  PHASE {
    const unsigned row = bx * THREADS + thread;
    if (row < rows) {
      const size_t first = (size_t)row * row_width;
      double sum = 0;
      if (kind == SOFTMAX) {
        for (unsigned at = 0; at < row_width; at++) sum += (double)gradient[first + at] * y[first + at];
        for (unsigned at = 0; at < row_width; at++) result[first + at] = (REAL)(y[first + at] * (gradient[first + at] - sum));
      } else if (kind == LOGARITHM) {
        for (unsigned at = 0; at < row_width; at++) sum += gradient[first + at];
        for (unsigned at = 0; at < row_width; at++) result[first + at] = (REAL)(gradient[first + at] - exp((double)y[first + at]) * sum);
      } else {
        for (unsigned at = 0; at < row_width; at++) result[first + at] = (REAL)(exp((double)x[first + at] - y[row]) * gradient[row]);
      }
    }
  }
}

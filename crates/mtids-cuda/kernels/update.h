/* The kernels of clipping and updates for one type of entries, REAL, whose names end in SUFFIX. Included by update.cu once for each type.
 *
 * Words of a tensor: addresses of what is read (a gradient), of what is written (a parameter), and of two states that are written; the number of
 * entries; the number of blocks before it; a factor in double precision. Each kernel reads those that its comment names. Sums are added in an order that
 * sizes alone decide.
 */

/* The tensor of this block, and its entries [from, to). */
#define RUN \
  unsigned low = 0, high = tensors; \
  while (high - low > 1) { \
    const unsigned middle = low + (high - low) / 2; \
    if (table[(size_t)middle * WORDS + 5] <= bx) low = middle; \
    else high = middle; \
  } \
  const unsigned long long *tensor = table + (size_t)low * WORDS; \
  const size_t from = (size_t)(bx - tensor[5]) * CHUNK; \
  const size_t to = from + CHUNK < tensor[4] ? from + CHUNK : (size_t)tensor[4]; \
  const REAL *source = (const REAL *)(size_t)tensor[0]

/* What else a kernel names of it. */
#define VALUES REAL *values = (REAL *)(size_t)tensor[1]
#define FIRST REAL *first = (REAL *)(size_t)tensor[2]
#define SECOND REAL *second = (REAL *)(size_t)tensor[3]
#define FACTOR \
  double factor; \
  { \
    union { \
      unsigned long long bits; \
      double number; \
    } word; \
    word.bits = tensor[6]; \
    factor = word.number; \
  }

#define EACH for (size_t at = from + thread; at < to; at += THREADS)

/* The sums of the threads in `sums`, in the first thread's place. */
#define JOIN_SUMS \
  for (unsigned width = THREADS / 2; width > 0; width /= 2) { \
    PHASE { \
      if (thread < width) sums[thread] += sums[thread + width]; \
    } \
  }

/* The sum of the squares of the source's entries into the block's place of `parts`. */
KERNEL(square_parts) {
  SHARED double sums[THREADS];
  RUN;
  PHASE {
    double sum = 0;
    EACH sum += (double)source[at] * source[at];
    sums[thread] = sum;
  }
  JOIN_SUMS
  PHASE {
    if (thread == 0) parts[bx] = sums[0];
  }
}

/* The sum of the `blocks` first entries of `total` into `parts`; one block. */
KERNEL(square_join) {
  SHARED double sums[THREADS];
  PHASE {
    double sum = 0;
    for (unsigned at = thread; at < blocks; at += THREADS) sum += total[at];
    sums[thread] = sum;
  }
  JOIN_SUMS
  PHASE {
    if (thread == 0) parts[bx] = sums[0];
  }
}

/* The source into the values. */
KERNEL(gather) {
  RUN;
  VALUES;
  PHASE {
    EACH values[at] = source[at];
  }
}

/* The source times min(1, a / sqrt(total)) into the values. */
KERNEL(clip) {
  RUN;
  VALUES;
  PHASE {
    const double scale = a / sqrt(total[0]);
    /* Of an infinite or wrong norm the gradients stay wrong. */
    const REAL by = scale < 1 ? (REAL)scale : (REAL)1;
    EACH values[at] = source[at] * by;
  }
}

/* AdamW with the source as gradient: first <- a first + (1 - a) g; second <- b second + (1 - b) g g;
 * values <- factor values - c first / (sqrt(second / d) + e). */
KERNEL(adamw) {
  RUN;
  VALUES;
  FIRST;
  SECOND;
  FACTOR;
  PHASE {
    const REAL keep_first = (REAL)a, keep_second = (REAL)b, new_first = (REAL)(1 - a), new_second = (REAL)(1 - b);
    const REAL kept = (REAL)factor, rate = (REAL)c, scale = (REAL)(1 / d), epsilon = (REAL)e;
    EACH {
      const REAL gradient = source[at];
      const REAL m = keep_first * first[at] + new_first * gradient;
      const REAL v = keep_second * second[at] + new_second * (gradient * gradient);
      first[at] = m;
      second[at] = v;
      values[at] = kept * values[at] - rate * m / (ROOT(v * scale) + epsilon);
    }
  }
}

/* Gradient descent with momentum: g <- source + factor values; first <- a first + g; values <- values - b first, or, with NESTEROV,
 * values - b (g + a first). Where a is 0 there is no first. */
KERNEL(sgd) {
  RUN;
  VALUES;
  FIRST;
  FACTOR;
  PHASE {
    const REAL momentum = (REAL)a, rate = (REAL)b, decay = (REAL)factor;
    EACH {
      const REAL gradient = source[at] + decay * values[at];
      REAL direction = gradient;
      if (momentum > 0) {
        const REAL m = momentum * first[at] + gradient;
        first[at] = m;
        direction = (flags & NESTEROV) ? gradient + momentum * m : m;
      }
      values[at] = values[at] - rate * direction;
    }
  }
}

/* factor values + source into the values. */
KERNEL(fold) {
  RUN;
  VALUES;
  FACTOR;
  PHASE {
    const REAL kept = (REAL)factor;
    EACH values[at] = kept * values[at] + source[at];
  }
}

/* The values move by the share 1 - a towards the source; values that are equal to it stay what they are. */
KERNEL(average) {
  RUN;
  VALUES;
  PHASE {
    const REAL share = (REAL)(1 - a);
    EACH values[at] = values[at] + (source[at] - values[at]) * share;
  }
}

#undef RUN
#undef VALUES
#undef FIRST
#undef SECOND
#undef FACTOR
#undef EACH
#undef JOIN_SUMS

/* The kernels of batch norm for one type of entries, REAL, whose names end in SUFFIX. Included by norm.cu once for each type.
 *
 * A map is [batch, channels, cells]. All kernels take the same arguments (ARGUMENTS); each reads those that its comment names. A block has
 * THREADS threads and works on one channel `bx` and one of `splits` runs of its batch * cells values, `by`; so every value is read by one thread,
 * and sums are added in an order that sizes alone decide. Nothing is added atomically.
 */

/* The values of a channel that a block works on: [from, to) of batch * cells. */
#define RUN \
  const unsigned values = batch * cells; \
  const unsigned length = (values + splits - 1) / splits; \
  const unsigned from = by * length < values ? by * length : values; \
  const unsigned to = from + length < values ? from + length : values

/* Where value `at` of channel `channel` lies in a map. */
#define PLACE(at, channel) (((size_t)((at) / cells) * channels + (channel)) * cells + (at) % cells)

/* The rectifier's gate: what passes of the gradient `g` where the result is `y`. A result that is not a number passes it. */
#define OPEN(y, g) ((flags & RECTIFY) && (y) <= 0 ? (REAL)0 : (g))

/* Adds the threads' two sums in `left` and `right` to the sums of the block, in the first thread's place. */
#define JOIN_THREADS \
  for (unsigned width = THREADS / 2; width > 0; width /= 2) { \
    PHASE { \
      if (thread < width) { \
        left[thread] += left[thread + width]; \
        right[thread] += right[thread + width]; \
      } \
    } \
  } \
  PHASE { \
    if (thread == 0) { \
      parts[((size_t)bx * splits + by) * 2] = left[0]; \
      parts[((size_t)bx * splits + by) * 2 + 1] = right[0]; \
    } \
  }

/* Sums of the distances of `first` from the channel's first value, and of their squares, into `parts`. */
KERNEL(moments_parts) {
  SHARED double left[THREADS], right[THREADS];
  RUN;
  const double pivot = first[(size_t)bx * cells];
  PHASE {
    double sum = 0, squares = 0;
    for (unsigned at = from + thread; at < to; at += THREADS) {
      const double distance = first[PLACE(at, bx)] - pivot;
      sum += distance;
      squares += distance * distance;
    }
    left[thread] = sum;
    right[thread] = squares;
  }
  JOIN_THREADS
}

/* Means of the channels into `result`, behind them the biased variances, from `parts` and `first`. A thread is a channel. */
KERNEL(moments_join) {
  PHASE {
    const unsigned channel = bx * THREADS + thread;
    if (channel < channels) {
      double sum = 0, squares = 0;
      for (unsigned split = 0; split < splits; split++) {
        sum += parts[((size_t)channel * splits + split) * 2];
        squares += parts[((size_t)channel * splits + split) * 2 + 1];
      }
      const double count = (double)batch * cells, distance = sum / count;
      const double spread = squares / count - distance * distance;
      result[channel] = (REAL)(first[(size_t)channel * cells] + distance);
      result[channels + channel] = (REAL)(spread < 0 ? 0 : spread);
    }
  }
}

/* weight * (first - mean) / sqrt(variance + EPSILON) + bias, with ADD plus `second`, with RECTIFY then max(0, .), into `result`. */
KERNEL(normalise) {
  RUN;
  PHASE {
    const double factor = weight[bx] / sqrt((double)variance[bx] + EPSILON);
    const REAL slope = (REAL)factor, offset = (REAL)(bias[bx] - mean[bx] * factor);
    for (unsigned at = from + thread; at < to; at += THREADS) {
      const size_t place = PLACE(at, bx);
      REAL value = first[place] * slope + offset;
      if (flags & ADD) value += second[place];
      result[place] = (flags & RECTIFY) && value < 0 ? (REAL)0 : value;
    }
  }
}

/* Sums of the open gradient times (first - mean), and of the open gradient, into `parts`; `second` is the result, `third` its gradient. */
KERNEL(gradient_parts) {
  SHARED double left[THREADS], right[THREADS];
  RUN;
  const double centre = mean[bx];
  PHASE {
    double with_x = 0, open = 0;
    for (unsigned at = from + thread; at < to; at += THREADS) {
      const size_t place = PLACE(at, bx);
      const double gradient = OPEN(second[place], third[place]);
      with_x += gradient * (first[place] - centre);
      open += gradient;
    }
    left[thread] = with_x;
    right[thread] = open;
  }
  JOIN_THREADS
}

/* Gradients of the weights into `result`, behind them those of the biases, from `parts` and `variance`. A thread is a channel. */
KERNEL(gradient_join) {
  PHASE {
    const unsigned channel = bx * THREADS + thread;
    if (channel < channels) {
      double with_x = 0, open = 0;
      for (unsigned split = 0; split < splits; split++) {
        with_x += parts[((size_t)channel * splits + split) * 2];
        open += parts[((size_t)channel * splits + split) * 2 + 1];
      }
      result[channel] = (REAL)(with_x / sqrt((double)variance[channel] + EPSILON));
      result[channels + channel] = (REAL)open;
    }
  }
}

/* The gradient of `first` into `result`; `second` is the result, `third` its gradient, `sums` what gradient_join made. With FOLLOW the moments are
 * those of `first`, and the gradient passes through them too. */
KERNEL(input_gradient) {
  RUN;
  PHASE {
    const double inverse = 1 / sqrt((double)variance[bx] + EPSILON), factor = weight[bx] * inverse;
    const double count = (double)batch * cells;
    const REAL slope = (REAL)factor, centre = mean[bx];
    const REAL by_x = (flags & FOLLOW) ? (REAL)(-factor * inverse * sums[bx] / count) : (REAL)0;
    const REAL by_all = (flags & FOLLOW) ? (REAL)(-factor * sums[channels + bx] / count) : (REAL)0;
    for (unsigned at = from + thread; at < to; at += THREADS) {
      const size_t place = PLACE(at, bx);
      result[place] = slope * OPEN(second[place], third[place]) + by_x * (first[place] - centre) + by_all;
    }
  }
}

/* The open gradient into `result`: that of what was added; `second` is the result, `third` its gradient. */
KERNEL(open_gradient) {
  RUN;
  PHASE {
    for (unsigned at = from + thread; at < to; at += THREADS) {
      const size_t place = PLACE(at, bx);
      result[place] = OPEN(second[place], third[place]);
    }
  }
}

#undef RUN
#undef PLACE
#undef OPEN
#undef JOIN_THREADS

/* cuDNN of a dry card: it offers three deterministic algorithms, and convolutions are written into the log. The first is one that no program knows, the
 * second transforms its operands (number 5 is FFT in tiles forward, Winograd backward), the third is the one to take. */
#include "log.h"

static int object;

size_t cudnnGetVersion(void) { return 91000; }
size_t cudnnGetCudartVersion(void) { return 13000; }
#define CREATE(name) \
  int name(void **made) { *made = &object; return 0; }
CREATE(cudnnCreate)
CREATE(cudnnCreateTensorDescriptor)
CREATE(cudnnCreateFilterDescriptor)
CREATE(cudnnCreateConvolutionDescriptor)

typedef struct {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
} Offer;
#define OFFERS(name) \
  int name(void *handle, void *a, void *b, void *conv, void *c, int most, int *found, Offer *offers) { \
    (void)handle, (void)a, (void)b, (void)conv, (void)c; \
    /* Deterministic, and CUDNN_FMA_MATH. */ \
    const int algorithms[3] = {99, 5, 1}; \
    for (*found = 0; *found < 3 && *found < most; ++*found) \
      offers[*found] = (Offer){.algorithm = algorithms[*found], .memory = 4096, .determinism = 1, .math = 3}; \
    return 0; \
  }
OFFERS(cudnnGetConvolutionForwardAlgorithm_v7)
OFFERS(cudnnGetConvolutionBackwardDataAlgorithm_v7)
OFFERS(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
OFFERS(cudnnFindConvolutionForwardAlgorithm)
OFFERS(cudnnFindConvolutionBackwardDataAlgorithm)
OFFERS(cudnnFindConvolutionBackwardFilterAlgorithm)

#define WORK(name) \
  int name(void *handle, void *a, void *b, void *conv, void *c, int algorithm, size_t *bytes) { \
    (void)handle, (void)a, (void)b, (void)conv, (void)c, (void)algorithm; \
    *bytes = 4096; \
    return 0; \
  }
WORK(cudnnGetConvolutionForwardWorkspaceSize)
WORK(cudnnGetConvolutionBackwardDataWorkspaceSize)
WORK(cudnnGetConvolutionBackwardFilterWorkspaceSize)

#define CONVOLVE(name) \
  int name(void) { launched(#name); return 0; }
CONVOLVE(cudnnConvolutionForward)
CONVOLVE(cudnnConvolutionBackwardData)
CONVOLVE(cudnnConvolutionBackwardFilter)

/* cuBLAS of a dry card: products are written into the log. */
#include "log.h"

static int object;

int cublasCreate_v2(void **handle) { *handle = &object; return 0; }
#define PRODUCT(name) \
  int name(void) { launched(#name); return 0; }
PRODUCT(cublasSgemm_v2)
PRODUCT(cublasDgemm_v2)
PRODUCT(cublasGemmEx)
PRODUCT(cublasSgemmStridedBatched)
PRODUCT(cublasDgemmStridedBatched)
PRODUCT(cublasGemmStridedBatchedEx)
